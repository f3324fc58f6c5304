"""What networks take on a target: instructions of an emulated processor, or milliseconds here."""

from __future__ import annotations

import time

import numpy as np
import torch

from qfa_search.deployment.plan import NetworkPlan, network_plan
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from search_spaces import LayerSpec, Subnet

N_IMAGES = 16
WARM_UP, RUNS = 5, 40
TYPICAL = 10  # percentile of the runs: what disturbs a run only makes it longer


def plan_for_timing(supernet: Supernet, subnet: Subnet, seed: int = 0) -> NetworkPlan:
    """`subnet` recalibrated on noise: neither instructions nor times depend on what is seen."""
    channels = supernet.space.input_channels
    generator = torch.Generator().manual_seed(seed)
    shape = N_IMAGES, channels, subnet.resolution, subnet.resolution
    images = torch.randn(shape, generator=generator)
    network = extract(supernet, subnet)
    recalibrate(network, [(images, torch.zeros(N_IMAGES, dtype=torch.long))], sequential=True)
    return network_plan(network, mean=(0.5,) * channels, std=(0.25,) * channels)


def cortex_m_instructions(plan: NetworkPlan) -> tuple[tuple[LayerSpec, ...], tuple[int, ...]]:
    """Layers of `plan`, and what each takes as C on an emulated Cortex-M4.

    Raises:
        ExportError: The toolchain is missing, or the network has no form in C.
    """
    from qfa_search.deployment.c_source import c_source
    from qfa_search.deployment.emulator.cortex_m import run_on_cortex_m
    from qfa_search.deployment.integers import integer_plan

    integers = integer_plan(plan)
    side = plan.resolution
    image = np.full((1, side, side, plan.space.input_channels), 128, dtype=np.uint8)
    source, header = c_source(integers, name="net")
    run = run_on_cortex_m(source, header, "net", image, len(integers.layers))
    return tuple(layer.spec for layer in plan.layers), run.layer_instructions


def onnxruntime_ms(plan: NetworkPlan) -> float:
    """Milliseconds of the ONNX file for one image on one core of this machine.

    The tenth percentile of some runs.

    Raises:
        ExportError: The runtime does not load or run the file.
        MemoryError: Memory is full.
    """
    from qfa_search.deployment.engines import onnx_session, run_onnx
    from qfa_search.deployment.onnx_file import onnx_model
    from qfa_search.deployment.onnx_graph import LOGITS

    session = onnx_session(onnx_model(plan).SerializeToString())
    side = plan.resolution
    image = np.zeros((1, plan.space.input_channels, side, side), dtype=np.float32)
    seconds = []
    for _ in range(WARM_UP + RUNS):
        before = time.perf_counter()
        run_onnx(session, [LOGITS], image)
        seconds.append(time.perf_counter() - before)
    return float(1000 * np.percentile(seconds[WARM_UP:], TYPICAL))
