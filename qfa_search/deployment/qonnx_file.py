"""QONNX: float ONNX with Quant nodes that name every bit width, for tools that count or compile.

Quant's zero point is always 0, or the datatypes are lost: the grid is moved by an Add before it
and by the bias after the convolution. Padding then has to be the real zero, t S, which Pad writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from qfa_search.deployment.onnx_file import activation_node, combining_node
from qfa_search.deployment.onnx_graph import IMAGE, LOGITS, OnnxGraph
from qfa_search.deployment.plan import LayerPlan, NetworkPlan

if TYPE_CHECKING:
    from onnx import ModelProto

DOMAIN = "qonnx.custom_op.general"
OPSETS = {"": 16, DOMAIN: 1}
IR_VERSION = 8


def qonnx_model(
    plan: NetworkPlan, *, batch_size: int = 1, metadata: Mapping[str, str] | None = None
) -> ModelProto:
    """`plan` as a QONNX model from normalized images to logits.

    Args:
        plan: The network.
        batch_size: Images at once; the tools that read such files want it fixed.
        metadata: Strings that the file carries.
    """
    graph = OnnxGraph()
    values = [IMAGE]  # what layer i reads stands at i
    for index, layer in enumerate(plan.layers):
        x = _layer(graph, layer, index, values[index])
        x = activation_node(graph, layer, index, x)
        values.append(combining_node(graph, layer, index, x, values))
    graph.node("Identity", [values[-1]], LOGITS)
    return graph.model(
        (batch_size, plan.space.input_channels, plan.resolution, plan.resolution),
        (batch_size, plan.space.n_classes),
        opsets=OPSETS,
        ir_version=IR_VERSION,
        metadata=metadata or {},
    )


def _layer(graph: OnnxGraph, layer: LayerPlan, index: int, x: str) -> str:
    spec, grid = layer.spec, layer.grid
    is_linear = spec.kind == "linear"
    if layer.pools_input:
        x = graph.node("GlobalAveragePool", [x], f"{index}.p")
    if is_linear:
        x = graph.node("Flatten", [x], f"{index}.p")
    padding = layer.padding
    if grid is not None:
        zero = grid.zero * grid.scale
        x = graph.node("Add", [x, graph.scalar(zero)], f"{index}.a")
        x = _quant(graph, x, graph.scalar(grid.scale), grid.bits, f"{index}.q", is_signed=False)
        if padding:
            around = np.array([0, 0, padding, padding] * 2, dtype=np.int64)
            pads = graph.constant(f"{index}.e", around)
            x = graph.node("Pad", [x, pads, graph.scalar(zero)], f"{index}.o", mode="constant")
            padding = 0
    weight = _weight(graph, layer, index)
    bias = layer.bias_counting_from(0).astype(np.float32)
    inputs = [x, weight, graph.constant(f"{index}.b", bias)]
    if is_linear:
        return graph.node("Gemm", inputs, f"{index}.c", transB=1)
    return graph.node(
        "Conv",
        inputs,
        f"{index}.c",
        kernel_shape=[spec.kernel_size] * 2,
        strides=[spec.stride] * 2,
        pads=[padding] * 4,
        dilations=[1, 1],
        group=spec.groups,
    )


def _weight(graph: OnnxGraph, layer: LayerPlan, index: int) -> str:
    weights = graph.constant(f"{index}.w", layer.folded_weights().astype(np.float32))
    if layer.codes is None:
        return weights
    shape = -1, *[1] * (layer.codes.ndim - 1)
    own = layer.output_scale if layer.spec.has_norm else layer.output_scale[:1]
    bits = layer.spec.bits.w_bits
    if bits == 1:  # 1 or -1 by the sign of a weight, which has that of the norm in it
        scale = graph.constant(f"{index}.s", np.abs(own).astype(np.float32).reshape(shape))
        return graph.node("BipolarQuant", [weights, scale], f"{index}.v", domain=DOMAIN)
    # A channel that the norm multiplies by 0 keeps a step that can be divided by.
    scales = np.where(own == 0, layer.step, own)
    scale = graph.constant(f"{index}.s", scales.astype(np.float32).reshape(shape))
    return _quant(graph, weights, scale, bits, f"{index}.v", is_signed=True)


def _quant(graph: OnnxGraph, x: str, scale: str, bits: int, output: str, *, is_signed: bool) -> str:
    inputs = [x, scale, graph.scalar(0.0), graph.scalar(float(bits))]
    return graph.node(
        "Quant",
        inputs,
        output,
        domain=DOMAIN,
        signed=int(is_signed),
        narrow=0,
        rounding_mode="ROUND",
    )
