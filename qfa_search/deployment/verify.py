"""The verdict on an exported file: every engine that runs it, replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qfa_search.deployment.comparison import Comparison
from qfa_search.deployment.formats import ExportFormat, export_format
from qfa_search.deployment.plan import NetworkPlan, network_plan
from qfa_search.deployment.preprocessing import Preprocessing
from qfa_search.errors import ExportError
from qfa_search.supernet.extract import StaticNetwork

BATCH_PIXELS = 100 * 28 * 28  # of images that run at once, so that large ones fit into memory

Images = Tensor | NDArray[np.float32] | Iterable[tuple[Tensor, Tensor]]
"""Normalized images `(n, channels, R, R)`, or batches of them with labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What running an exported file showed.

    Attributes:
        file: The file.
        comparisons: One for each engine.
    """

    file: Path
    comparisons: tuple[Comparison, ...]

    @property
    def failure(self) -> str | None:
        """Why the file is not the network, by the first engine that shows it; None if it is."""
        failed = [f"{r.engine}: {r.failure}" for r in self.comparisons if r.failure is not None]
        return failed[0] if failed else None

    @property
    def passed(self) -> bool:
        """Whether every engine runs the network that torch runs."""
        return self.failure is None

    @property
    def is_proof(self) -> bool:
        """Whether that was the file itself."""
        return self.passed and all(found.has_run_file for found in self.comparisons)

    def summary(self) -> str:
        """One line for each engine, or for all that showed the same, and one with the verdict."""
        verdict = "verified" if self.is_proof else "not verified: the file was not run here"
        if self.failure is not None:
            verdict = f"NOT VERIFIED: {self.failure}"
        engines: dict[str, list[str]] = {}
        for found in self.comparisons:
            engines.setdefault(found.summary(), []).append(found.engine)
        lines = [f"{', '.join(names)}: {shown}" for shown, names in engines.items()]
        return "\n".join([*lines, verdict])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "verified": self.is_proof,
            "failure": self.failure,
            "engines": [{"engine": found.engine} | found.to_dict() for found in self.comparisons],
        }


def verify_export(
    network: StaticNetwork,
    file: str | Path,
    images: Images,
    *,
    format: str | None = None,
    preprocessing: Preprocessing | None = None,
) -> Verification:
    """Run an exported file and the network on the same images and compare every integer code.

    Args:
        network: The recalibrated network that was exported.
        file: The file.
        images: Normalized images at the network's resolution: a tensor, or batches with labels,
            for which top-1 is told as well.
        format: "onnx", "qonnx", "torch", "npz" or "c"; by the ending of the file if None.
        preprocessing: How pictures become the network's input; "c" starts from pixels.

    Returns:
        The verdict; nothing is raised for a file that computes something else.

    Raises:
        ExportError: A package is missing, or the file cannot be run as an export of this network.
        ValueError: No such file or format.
    """
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"no file to verify at {path}")
    chosen = export_format(format, path)
    plan = network_plan(
        network,
        mean=None if preprocessing is None else preprocessing.mean,
        std=None if preprocessing is None else preprocessing.std,
    )
    return verify_plan(network, plan, path, chosen, images)


def verify_plan(
    network: StaticNetwork, plan: NetworkPlan, file: Path, chosen: ExportFormat, images: Images
) -> Verification:
    """`verify_export` for a plan that is made already."""
    chosen.check_installed(to_verify=True)
    check_device(network)
    batches = _parts(images, plan)
    return Verification(file=file, comparisons=chosen.compare(network, plan, file, batches))


def check_device(network: StaticNetwork) -> None:
    """Nothing, if `network` is where verification runs.

    Raises:
        ExportError: It is not.
    """
    device = next(network.parameters()).device
    if device.type != "cpu":
        raise ExportError(
            f"the network is on {device}: verification runs on the CPU, move it there"
        )


def _parts(images: Images, plan: NetworkPlan) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Images in parts that memory can hold the maps of."""
    side = plan.resolution
    expected = plan.space.input_channels, side, side
    size = max(1, BATCH_PIXELS // side**2)
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images)
    batches = [(images, None)] if isinstance(images, Tensor) else images
    for pixels, labels in batches:
        if tuple(pixels.shape[1:]) != expected:
            raise ValueError(
                f"expected images of shape (n, {', '.join(map(str, expected))}), got "
                f"{tuple(pixels.shape)}"
            )
        parts = pixels.float().split(size)
        if labels is None:
            yield from ((part, None) for part in parts)
        else:
            yield from zip(parts, labels.split(size), strict=True)
