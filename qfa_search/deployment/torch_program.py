"""The plan as a torch module of constants, and as a program of torch.export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qfa_search.deployment.plan import InputGrid, LayerPlan, NetworkPlan
from qfa_search.supernet.elastic import activate

METADATA = "metadata.json"  # a file in the program's archive


class InputRounding(nn.Module):
    """Gives the codes of an input, as floats."""

    def __init__(self, grid: InputGrid) -> None:
        """Round to `grid`."""
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        """Codes in [0, top], same shape."""
        u = x * self.grid.multiplier + self.grid.zero
        return torch.round(torch.clamp(u, 0, self.grid.top))


class PlannedLayer(nn.Module):
    """One layer: input rounded to codes, convolution with int8 codes, gain and bias."""

    codes: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, layer: LayerPlan) -> None:
        """Take the constants of `layer`; its activation, but neither gate nor residual."""
        super().__init__()
        self.spec = layer.spec
        self.padding = layer.padding
        self.rounding = None if layer.grid is None else InputRounding(layer.grid)
        stored = layer.weights if layer.codes is None else layer.codes
        assert stored is not None
        shape = -1, *[1] * (stored.ndim - 1)
        scale = torch.tensor(layer.output_scale, dtype=torch.float32)
        self.register_buffer("codes", torch.tensor(stored))
        self.register_buffer("scale", scale.view(shape))
        self.register_buffer("bias", torch.tensor(layer.bias, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Output of the layer."""
        if self.rounding is not None:
            grid = self.rounding.grid
            x = (self.rounding(x) - grid.zero) * grid.scale
        weight = self.codes.to(torch.float32) * self.scale
        if self.spec.kind == "linear":
            return F.linear(x, weight, self.bias)
        spec = self.spec
        x = F.conv2d(x, weight, self.bias, spec.stride, self.padding, groups=spec.groups)
        return activate(x, spec.activation)


class PlannedNetwork(nn.Module):
    """A network plan that runs: normalized images `(N, channels, R, R)` to logits."""

    def __init__(self, plan: NetworkPlan) -> None:
        """Take the constants of `plan`."""
        super().__init__()
        self.layers = nn.ModuleList(PlannedLayer(layer) for layer in plan.layers)
        self._flow = [(layer.pools_input, layer.gates, layer.adds) for layer in plan.layers]

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(N, n_classes)`."""
        values = [x]
        for layer, (pools_input, gates, adds) in zip(self.layers, self._flow, strict=True):
            assert isinstance(layer, PlannedLayer)
            x = values[-1]
            if pools_input:
                x = x.mean((2, 3), keepdim=True)
            if layer.spec.kind == "linear":
                x = x.flatten(1)
            x = layer(x)
            if gates is not None:
                x = values[gates + 1] * x
            if adds is not None:
                x = x + values[adds + 1]
            values.append(x)
        return values[-1]


def save_program(plan: NetworkPlan, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write `plan` as a program of torch.export, with any number of images at once.

    Args:
        plan: The network.
        path: A .pt2 file.
        metadata: Strings that the file carries, as JSON in its extra file "metadata.json".
    """
    import json

    network = PlannedNetwork(plan).eval()
    images = torch.zeros(2, plan.space.input_channels, plan.resolution, plan.resolution)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
    extra = {METADATA: json.dumps(dict(metadata or {}), sort_keys=True)}
    torch.export.save(program, path, extra_files=extra)
