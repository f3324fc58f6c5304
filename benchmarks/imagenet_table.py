"""The low-MFLOPs ImageNet table: what was published, what it costs, and what we find.

    python -m benchmarks.imagenet_table --published DIR --imagenet DIR

DIR after --published is what `qfa-search import-published` wrote, a clone of apple/ml-batchquant
or its pareto_archs.npy. Writes imagenet_table.csv, .md and .png. A top-1 that nobody measured,
predicted or published stays empty, and the table says what is missing.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import predictors
import qfa_search
import search_spaces
from benchmarks.parts.imagenet_table_text import markdown, plot
from predictors.files import atomic_path, write_text
from qfa_search.published.files import ARCHITECTURES, read_architectures, read_samples_json
from search_spaces import SearchSpace

LIMIT = 20.0
OQA_TABLE = Path(__file__).parent / "tables" / "oqa_published.csv"
N_MEASURED = 12  # members of each searched front that are measured
COLUMNS = (
    "source",
    "row",
    "bits",
    "resolution",
    "macs_m",
    "params_m",
    "published_mflops",
    "mflops",
    "mflops_as_released",
    "top1",
    "top1_kind",
    "top1_as_released",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What there is to make the table from.

    Attributes:
        X: The published architectures, `(n, n_genes)`.
        predictor: Predicts top-1, if there are samples.
        supernet: File of the imported supernet, if there is one.
        imagenet: Image folder, if there is one.
        split: Images to measure on.
        missing: A sentence for everything that is not there.
    """

    X: np.ndarray
    predictor: predictors.AccuracyPredictor | None
    supernet: Path | None
    imagenet: str | None
    split: str
    missing: tuple[str, ...]


def gather(space: SearchSpace, args: argparse.Namespace) -> Inputs:
    """Find architectures, predictor and supernet in what was passed."""
    missing = []
    X = np.empty((0, space.layout.n_genes), dtype=np.int64)
    folder: Path | None = None
    if args.published is None:
        missing.append("The published architectures: pass --published.")
    elif args.published.is_file():
        X = read_architectures(args.published, space)
    else:
        folder = args.published
        if (folder / ARCHITECTURES).is_file():
            X = read_architectures(folder / ARCHITECTURES, space)
        elif (folder / "architectures.json").is_file():
            X = qfa_search.ParetoFront.load(folder / "architectures.json").X
        else:
            missing.append(f"The published architectures: {folder.name} has none.")
    predictor = None
    if args.samples is not None:
        predictor = _fit(space, args.samples)
    elif folder is not None and (folder / "predictor.safetensors").is_file():
        predictor = predictors.AccuracyPredictor.load(folder / "predictor.safetensors")
    else:
        missing.append(
            "Predicted top-1 and the searched fronts: they need the published samples "
            "(qsamples_8k.json), which are not here."
        )
    supernet = folder / "supernet.safetensors" if folder is not None else None
    if supernet is None or not supernet.is_file():
        supernet = None
        missing.append(
            "Measured top-1 of the published space: it needs the published checkpoint "
            "(b234_ps.pth), which is not here."
        )
    if args.imagenet is None:
        missing.append("Measured top-1 of the published space: it needs ImageNet, not here.")
    return Inputs(
        X=X,
        predictor=predictor,
        supernet=supernet,
        imagenet=args.imagenet,
        split=args.split,
        missing=tuple(missing),
    )


def _fit(space: SearchSpace, path: Path) -> predictors.AccuracyPredictor:
    if path.suffix == ".json":
        published = read_samples_json(path, space)
        return predictors.AccuracyPredictor.fit(space, published.X, published.top1)
    from qfa_search.measuring.samples import read_samples

    found = read_samples(path)
    return predictors.AccuracyPredictor.fit(
        space, found.X, found.frame["top1"].to_numpy(), cross_entropy=found.cross_entropy()
    )


def oqa_rows() -> pd.DataFrame:
    """OQA's networks with the cost of our model.

    Raises:
        ValueError: MACs or parameters differ from the published ones.
    """
    published = pd.read_csv(OQA_TABLE, comment="#", dtype=str)
    space = search_spaces.load("mobilenet-v3-w1.0")
    n_bits = space.layout.n_genes - space.layout.groups["resolution"].stop
    genes = [
        _numbers(f"{row.kernel_sizes} {row.expand_ratios} {row.depths} {row.resolution}")
        + [int(row.bits)] * n_bits
        for row in published.itertuples()
    ]
    costs = predictors.costs(space, space.layout.from_published(np.array(genes)))
    rows = pd.DataFrame(
        {
            "source": "OQA",
            "row": np.arange(len(published)),
            "bits": published["bits"],
            "resolution": published["resolution"].astype(int),
            "macs_m": costs["macs"] / 1e6,
            "params_m": costs["params"] / 1e6,
            "mflops": costs["mflops"],
            "top1": published["top1"].astype(float),
            "top1_kind": "published",
        }
    )
    for column in ("macs_m", "params_m"):
        ours = rows[column].map("{:.3f}".format)
        wrong = np.flatnonzero(ours != published[column])
        if len(wrong):
            raise ValueError(
                f"{column} of OQA row {wrong[0]}: published {published[column][wrong[0]]}, "
                f"ours {ours[wrong[0]]}"
            )
    return rows


def space_rows(space: SearchSpace, source: str, X: np.ndarray, inputs: Inputs) -> pd.DataFrame:
    """Rows for subnets of the published space: cost three ways, top-1 as far as it is known."""
    layout = space.layout
    released = np.array(
        [layout.encode(qfa_search.as_released(space, layout.decode(x))) for x in X]
    ).reshape(X.shape)
    costs = predictors.costs(space, X)
    rows = pd.DataFrame(
        {
            "source": source,
            "row": np.arange(len(X)),
            "bits": "mixed",
            "resolution": layout.values(X)[:, layout.groups["resolution"].start],
            "macs_m": costs["macs"] / 1e6,
            "params_m": costs["params"] / 1e6,
            "published_mflops": costs["published_mflops"],
            "mflops": costs["mflops"],
            "mflops_as_released": predictors.costs(space, released)["mflops"],
        }
    )
    if inputs.predictor is not None and len(X):
        rows["top1"], rows["top1_kind"] = inputs.predictor.predict(X), "predicted"
    low = np.flatnonzero((costs[["mflops", "published_mflops"]].min(axis=1) <= LIMIT).to_numpy())
    if inputs.supernet is not None and inputs.imagenet is not None and len(low):
        chosen = low[np.unique(np.linspace(0, len(low) - 1, N_MEASURED).astype(int))]
        rows.loc[chosen, "top1"] = _measure(inputs, X[chosen])
        rows.loc[chosen, "top1_kind"] = f"measured ({inputs.split})"
        rows.loc[chosen, "top1_as_released"] = _measure(inputs, released[chosen])
    return rows


def _measure(inputs: Inputs, X: np.ndarray) -> list[float]:
    from qfa_search.measuring.subnets import measure_all, measure_config

    config = measure_config(inputs.supernet, inputs.imagenet, inputs.split)
    return [found.top1 for found in measure_all(config, X)]


def searched_rows(space: SearchSpace, inputs: Inputs, generations: int) -> list[pd.DataFrame]:
    """Our fronts below the limit, in both accountings; none without a predictor."""
    if inputs.predictor is None:
        return []
    return [
        space_rows(
            space,
            f"ours, {name} <= {LIMIT:g}",
            qfa_search.search(
                space=space,
                predictor=inputs.predictor,
                initial=inputs.X,
                objectives=("top1", name),
                generations=generations,
                **{f"max_{name}": LIMIT},
            ).X,
            inputs,
        )
        for name in ("mflops", "published_mflops")
    ]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split()]


def main(arguments: list[str] | None = None) -> None:
    """Make the table and write it in three forms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--published", type=Path, metavar="DIR", help="see above")
    parser.add_argument("--imagenet", metavar="DIR", help="folder with train/ and val/")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="samples to fit to")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="to measure on")
    parser.add_argument("--generations", type=int, default=200, help="of each search")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    space = search_spaces.load("mobilenet-v3-w1.2")
    inputs = gather(space, args)
    parts = [oqa_rows()]
    if len(inputs.X):
        parts.append(space_rows(space, "QFA, published", inputs.X, inputs))
    parts += searched_rows(space, inputs, args.generations)
    table = pd.concat([part.dropna(axis=1, how="all") for part in parts]).reindex(columns=COLUMNS)
    command = f"python -m benchmarks.imagenet_table {shlex.join(arguments)}".strip()
    scores = inputs.predictor.report if inputs.predictor is not None else None
    text = markdown(table, LIMIT, command, inputs.missing, scores)
    write_text(
        args.out / "imagenet_table.csv",
        f"# {command}\n" + table.to_csv(index=False, float_format="%.4f", lineterminator="\n"),
    )
    write_text(args.out / "imagenet_table.md", text)
    with atomic_path(args.out / "imagenet_table.png") as path:
        plot(table, LIMIT, path)
    print(text)


if __name__ == "__main__":
    main()
