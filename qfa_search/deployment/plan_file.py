"""A plan as an .npz file: codes and constants for people who bring kernels of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from qfa_search.deployment.plan import InputGrid, LayerPlan, NetworkPlan
from search_spaces import SearchSpace, Subnet, layer_specs

FORMAT = "qfa-search plan 1"


def save_plan(plan: NetworkPlan, path: Path) -> None:
    """Write `plan`: arrays "LAYER.codes" or ".weights", ".gain", ".bias", and JSON in "plan".

    The JSON has the space, the subnet and for each layer its step, its grid and its place in the
    data flow; LAYER is its path in the network.
    """
    arrays: dict[str, Any] = {}
    for layer in plan.layers:
        kind, values = ("codes", layer.codes)
        if layer.codes is None:
            kind, values = "weights", layer.weights  # type: ignore[assignment]
        arrays |= {
            f"{layer.name}.{kind}": values,
            f"{layer.name}.gain": layer.gain,
            f"{layer.name}.bias": layer.bias,
        }
    header = {
        "format": FORMAT,
        "space": plan.space.to_dict(),
        "subnet": plan.subnet.to_dict(),
        "class_names": plan.class_names,
        "mean": plan.mean,
        "std": plan.std,
        "layers": {layer.name: _constants(layer) for layer in plan.layers},
    }
    with path.open("wb") as file:
        np.savez_compressed(file, plan=np.array(json.dumps(header)), **arrays)


def load_plan(path: Path) -> NetworkPlan:
    """The plan that `save_plan` wrote.

    Raises:
        ValueError: No such file, a truncated or a foreign one.
    """
    try:
        # Opened here: NumPy leaves a damaged archive open.
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            header = json.loads(str(file["plan"]))
            if header["format"] != FORMAT:
                raise ValueError(f"its format is {header['format']!r}, expected {FORMAT!r}")
            space = SearchSpace.from_dict(header["space"])
            subnet = Subnet.from_dict(header["subnet"])
            layers = []
            for spec in layer_specs(space, subnet):
                constants = header["layers"][spec.name]
                grid = constants.pop("grid")
                layers.append(
                    LayerPlan(
                        spec=spec,
                        grid=None if grid is None else InputGrid(**grid),
                        codes=file.get(f"{spec.name}.codes"),
                        weights=file.get(f"{spec.name}.weights"),
                        gain=file[f"{spec.name}.gain"],
                        bias=file[f"{spec.name}.bias"],
                        **constants,
                    )
                )
            names, mean, std = (header[key] for key in ("class_names", "mean", "std"))
            return NetworkPlan(
                space=space,
                subnet=subnet,
                layers=tuple(layers),
                class_names=None if names is None else tuple(names),
                mean=None if mean is None else tuple(mean),
                std=None if std is None else tuple(std),
            )
    except Exception as error:  # readers of damaged archives raise errors of any kind
        told = " ".join(str(error).split())
        raise ValueError(f"{path} is not a readable plan: {told}") from error


def _constants(layer: LayerPlan) -> dict[str, Any]:
    grid = layer.grid
    return {
        "step": layer.step,
        "pools_input": layer.pools_input,
        "gates": layer.gates,
        "adds": layer.adds,
        "grid": None
        if grid is None
        else {name: getattr(grid, name) for name in ("bits", "scale", "multiplier", "zero")}
        | {"zero_code": grid.zero_code},
    }
