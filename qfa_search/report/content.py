"""What the page shows, as plain data made from values: fronts, samples and where they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from qfa_search.report.agreement import agreement
from qfa_search.report.architecture import encoded
from qfa_search.report.distribution import along
from search_spaces.arrays import Floats

if TYPE_CHECKING:
    from qfa_search.front.front import ParetoFront
    from qfa_search.measuring.samples import Samples

DIGITS = 6  # significant ones of costs that are no whole numbers; the page never shows more

# What every axis and row of the page is called, its unit, and what heads a narrow column; the
# order is theirs, too.
COLUMNS = {
    "top1": ("top-1 accuracy", "%", "top-1"),
    "mflops": ("MFLOPs, 8-bit equivalent", "M", "MFLOPs"),
    "published_mflops": ("MFLOPs, published table", "M", "published MFLOPs"),
    "gbitops": ("bit operations", "1e9", "Gbitops"),
    "macs": ("multiply-accumulates", "", "MACs"),
    "params": ("parameters", "", "parameters"),
    "size_kb": ("model size", "KB", "size KB"),
    "activation_kb": ("peak activation memory", "KB", "activations KB"),
    "flash_kb": ("flash of the C file", "KB", "flash KB"),
    "ram_kb": ("RAM of the C file", "KB", "RAM KB"),
    "latency_ms": ("latency", "ms", "latency ms"),
    "minstructions": ("instructions of the C file", "M", "M instructions"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFront:
    """A front and what is known about it beside its file.

    Attributes:
        front: At least one member.
        name: What the page calls it.
        file: Its file, as seen from the page.
        file_digest: SHA-256 of that file, the first 16 hexadecimal digits, if it is known.
        samples: Measured subnets of the same space, for the background.
        images_have_a_name: Whether the images of its supernet need no `--data`.
        held_out: Of the predictor: top-1 as predicted by models that had not seen the subnet,
            and as measured, `(n, 2)`.
    """

    front: ParetoFront
    name: str
    file: str
    file_digest: str | None = None
    samples: Samples | None = None
    images_have_a_name: bool = False
    held_out: Floats | None = None


def page_content(fronts: Sequence[ReportedFront], versions: Mapping[str, str]) -> dict[str, Any]:
    """Everything on the page, ready for JSON; equal arguments give equal data.

    Args:
        fronts: At least one; their names are told apart by the caller.
        versions: Of the packages that write the page, by name.
    """
    if not fronts:
        raise ValueError("a page needs at least one front, got none")
    empty = [reported.name for reported in fronts if not len(reported.front)]
    if empty:
        raise ValueError(f"the front {empty[0]} has no members: there is nothing to show")
    different, indices = _different([reported.samples for reported in fronts])
    return {
        "title": _title(fronts),
        "columns": {
            key: {"label": label, "unit": unit, "heading": heading}
            for key, (label, unit, heading) in COLUMNS.items()
        },
        "fronts": [
            _front(reported) | {"samples": index}
            for reported, index in zip(fronts, indices, strict=True)
        ],
        "samples": [_samples(samples) for samples in different],
        "written_by": dict(versions),
    }


def _title(fronts: Sequence[ReportedFront]) -> str:
    spaces = dict.fromkeys(reported.front.space.name for reported in fronts)
    if len(fronts) > 1:
        return f"{len(fronts)} fronts of {', '.join(spaces)}"
    limits = fronts[0].front.limits
    return f"{next(iter(spaces))}{f' within {limits}' if limits.to_dict() else ''}"


def _front(reported: ReportedFront) -> dict[str, Any]:
    front = reported.front
    by_class = np.flatnonzero(np.isfinite(front.class_top1).any(axis=1)).tolist()
    return {
        "name": reported.name,
        "file": reported.file,
        "supernet": front.supernet,
        "images_have_a_name": reported.images_have_a_name,
        "objectives": list(front.objectives),
        "limits": {**front.limits.max_costs()},
        "min_top1": front.limits.min_top1,
        "knee": front.knee_index(),
        "top1_predicted": _numbers(front.top1_predicted),
        "top1_spread": _numbers(front.top1_spread),
        "top1_measured": _numbers(front.top1_measured),
        "extrapolates": np.flatnonzero(front.extrapolates).tolist(),
        "costs": _costs(front.costs),
        "architecture": encoded(front.space, [front.space.layout.decode(x) for x in front.X]),
        "class_names": list(front.class_names),
        "class_top1": {str(i): _numbers(front.class_top1[i]) for i in by_class},
        "along": along(front),
        "hypervolumes": _numbers(front.hypervolumes),
        "held_out": _held_out(reported),
        "agreement": agreement(front, reported.samples),
        "facts": [list(fact) for fact in _facts(reported)],
        "scores": [list(fact) for fact in _scores(front.predictor_scores)],
    }


def _costs(costs: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """The columns that the page knows and that hold a number."""
    return {
        name: _numbers(costs[name])
        for name in COLUMNS
        if name in costs and np.isfinite(np.asarray(costs[name], dtype=np.float64)).any()
    }


def _held_out(reported: ReportedFront) -> dict[str, list[float | None]] | None:
    if reported.held_out is None or not len(reported.held_out):
        return None
    predicted, measured = reported.held_out.T
    return {"predicted": _numbers(predicted), "measured": _numbers(measured)}


def _different(
    samples: Sequence[Samples | None],
) -> tuple[list[Samples], list[int | None]]:
    """The samples that differ, and for each of `samples` its place among them.

    Fronts of one supernet share their samples, which would be most of the page.
    """
    different: dict[bytes, tuple[int, Samples]] = {}
    places: list[int | None] = []
    for one in samples:
        if one is None:
            places.append(None)
            continue
        key = one.X.tobytes() + one.frame["top1"].to_numpy(dtype=np.float64).tobytes()
        places.append(different.setdefault(key, (len(different), one))[0])
    return [one for _, one in different.values()], places


def _samples(samples: Samples) -> dict[str, list[float | None]]:
    return {
        "top1": _numbers(samples.frame["top1"]),
        **_costs({str(name): column for name, column in samples.frame.items()}),
    }


def _facts(reported: ReportedFront) -> Iterable[tuple[str, str]]:
    """What the front was found with, label and text."""
    front, space = reported.front, reported.front.space
    yield "file", reported.file
    if reported.file_digest:
        yield "file, SHA-256", reported.file_digest
    yield "subnets", f"{len(front):,}"
    yield "search space", f"{space.name}, {space.layout.n_genes} genes"
    yield "supernet", front.supernet or "none"
    if front.supernet_digest:
        yield "supernet, SHA-256", front.supernet_digest
    yield "objectives", ", ".join(front.objectives)
    yield "limits", str(front.limits) if front.limits.to_dict() else "none"
    yield "seed", str(front.seed)
    for name, value in front.settings.items():
        yield name.replace("_", " "), f"{value:g}" if isinstance(value, float) else str(value)
    corner = zip(front.objectives, front.default_ref_point(), strict=True)
    up_to = ", ".join(f"{name} {value:.6g}" for name, value in corner)
    yield "hypervolume", f"{front.hypervolume():.6g} up to {up_to}"
    yield "samples", _samples_text(reported.samples)


def _samples_text(samples: Samples | None) -> str:
    if samples is None:
        return "none found"
    setting = samples.setting
    return (
        f"{len(samples.X):,} measured on the {setting.split} split, "
        f"recalibrated with {setting.recalibration}"
    )


_SCORES = {
    "n_train": ("fitted to", "{:,.0f} subnets or more"),
    "n_test": ("tried on", "{:,.0f} unseen subnets"),
    "kendall_tau": ("Kendall tau", "{:.3f}"),
    "spearman": ("Spearman", "{:.3f}"),
    "rmse": ("RMSE", "{:.2f} points"),
    "coverage": ("within 1.645 spreads", "{:.1f} %"),
    "baseline_kendall_tau": ("Kendall tau of ridge regression", "{:.3f}"),
    "baseline_rmse": ("RMSE of ridge regression", "{:.2f} points"),
}


def _scores(scores: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, (label, form) in _SCORES.items():
        value = scores.get(name)
        if isinstance(value, int | float):
            yield label, form.format(value)


def _numbers(values: ArrayLike) -> list[float | None]:
    """Rounded for the page; None for what is not known."""
    return [_rounded(value) for value in np.asarray(values).tolist()]


def _rounded(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    if float(value).is_integer():
        return int(value)
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
