"""The low-MFLOPs ImageNet table as Markdown and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from predictors import HeldOutReport

QFA = "QFA, published"
N_SHOWN = 12  # rows of a long part that Markdown shows
HEADINGS = {
    "row": "row",
    "bits": "bits",
    "resolution": "pixels",
    "macs_m": "MACs (M)",
    "params_m": "params (M)",
    "published_mflops": "published MFLOPs",
    "mflops": "MFLOPs",
    "mflops_as_released": "MFLOPs as released",
    "top1": "top-1",
    "top1_kind": "top-1 is",
    "top1_as_released": "top-1 as released",
}


def markdown(
    table: pd.DataFrame,
    limit: float,
    command: str,
    missing: Sequence[str],
    scores: HeldOutReport | None,
) -> str:
    """The table as Markdown: legend, what is missing, a section for each source."""
    lines = [
        "# ImageNet below 20 MFLOPs",
        "",
        f"Written by `{command}`.",
        "",
        "MFLOPs are millions of 8-bit-equivalent MACs: `macs * w_bits * a_bits / 64`.",
        "",
        "- *published MFLOPs*: by the published look-up table, whose widths are not the network's.",
        "- *MFLOPs*: of the real network at the bits asked for; stem, squeeze-excite and",
        "  classifier count as 8 x 8 bits.",
        "- *MFLOPs as released*: of what the released evaluation script runs when asked for that",
        "  network; its depthwise layers with kernel 3 or 5 run at 4 bits whatever is asked for.",
        "",
    ]
    if missing:
        lines += ["Not in this table:", "", *[f"- {sentence}" for sentence in missing], ""]
    for source, part in table.groupby("source", sort=False):
        below = part
        if source != "OQA":
            is_low = part[["published_mflops", "mflops"]].min(axis=1) <= limit
            below = part[is_low].sort_values("mflops")
            shown = np.linspace(0, max(len(below) - 1, 0), min(N_SHOWN, len(below))).round()
            below = below.iloc[np.unique(shown).astype(int)]
        about = _about(str(source), part, limit, scores, n_shown=len(below))
        lines += [f"## {source}", "", *about, "", *_rows(below), ""]
    return "\n".join(lines)


def _about(
    source: str, part: pd.DataFrame, limit: float, scores: HeldOutReport | None, *, n_shown: int
) -> list[str]:
    if source == "OQA":
        best = part[part["mflops"] <= limit].nlargest(1, "top1").iloc[0]
        return [
            f"{len(part)} networks of MobileNetV3 at width 1.0, one bit width throughout. MACs and",
            "parameters by our cost model equal the published ones in every row, to the digits",
            "given; top-1 as published. With stem, squeeze-excite and classifier charged, the best",
            f"at most {limit:g} MFLOPs has {best['top1']:.2f} % at {best['mflops']:.2f}.",
        ]
    sentences = []
    if source == QFA:
        ratio = part["mflops"] / part["published_mflops"]
        released = part["mflops_as_released"] / part["published_mflops"]
        counts = {
            name: int((part[name] <= limit).sum())
            for name in ("published_mflops", "mflops", "mflops_as_released")
        }
        sentences += [
            f"{len(part)} architectures. MFLOPs are {ratio.min():.3f} to {ratio.max():.3f} times "
            f"the published number, {ratio.mean():.3f} on average;",
            f"as released {released.min():.3f} to {released.max():.3f}, {released.mean():.3f} on "
            "average.",
            f"At most {limit:g} MFLOPs: {counts['published_mflops']} by the published table, "
            f"{counts['mflops']} by the real network, {counts['mflops_as_released']} as released.",
        ]
    if scores is not None:
        sentences.append(
            f"Predicted top-1: Kendall tau {scores.kendall_tau:.3f}, RMSE {scores.rmse:.3f} points "
            f"on {scores.n_test} held-out subnets."
        )
    sentences.append(f"Shown: {n_shown} of those at most {limit:g} MFLOPs; all are in the CSV.")
    return sentences


def _rows(part: pd.DataFrame) -> list[str]:
    shown = [name for name in HEADINGS if part[name].notna().any() or name == "top1"]
    lines = [
        "| " + " | ".join(HEADINGS[name] for name in shown) + " |",
        "|" + " --- |" * len(shown),
    ]
    for _, row in part.iterrows():
        lines.append("| " + " | ".join(_cell(name, row[name]) for name in shown) + " |")
    return lines


def _cell(name: str, value: object) -> str:
    if isinstance(value, float):
        if value != value:
            return ""
        return f"{value:.0f}" if name in ("row", "resolution") else f"{value:.3f}"
    return str(value)


def plot(table: pd.DataFrame, limit: float, path: Path) -> None:
    """Two pictures: real against published cost, and top-1 over cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    qfa = table[table["source"] == QFA]
    end = 2 * limit
    near = qfa[qfa["published_mflops"] <= end]
    if len(near):
        for name, label, marker in (
            ("mflops", "real network", "o"),
            ("mflops_as_released", "as the released script runs it", "x"),
        ):
            left.scatter(near["published_mflops"], near[name], s=16, marker=marker, label=label)
        left.plot([0, end], [0, end], color="0.6", linewidth=1, label="equal")
    left.axhline(limit, color="0.3", linestyle=":", linewidth=1)
    left.axvline(limit, color="0.3", linestyle=":", linewidth=1)
    left.set(
        xlabel="published MFLOPs", ylabel="MFLOPs", title="Cost of the published architectures"
    )
    if len(near):
        left.legend()
    else:
        left.text(0.5, 0.5, "no architectures here", transform=left.transAxes, ha="center")
    oqa = table[table["source"] == "OQA"]
    for bits, part in oqa.groupby("bits"):
        right.plot(part["mflops"], part["top1"], "o-", markersize=4, label=f"OQA, {bits} bits")
    for source, part in table[table["source"] != "OQA"].groupby("source", sort=False):
        for kind, known in part.dropna(subset=["top1"]).groupby("top1_kind"):
            low = known[known["mflops"] <= end]
            right.scatter(low["mflops"], low["top1"], s=12, label=f"{source}, {kind}")
    right.axvline(limit, color="0.3", linestyle=":", linewidth=1)
    right.set(xlabel="MFLOPs of the real network", ylabel="ImageNet top-1 (%)", title="Top-1")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=110, format="png", metadata={"Software": None})
