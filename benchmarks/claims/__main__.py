"""The claims of the BatchQuant paper, tried on real images.

    python -m benchmarks.claims --data fashion-mnist --teacher teacher.safetensors

Finished runs are kept in --out, so an interrupted benchmark goes on where it was, and claims can
be tried at different times (`--only`). Writes a page, its numbers and a plot for each claim, and
claims.md with the results of all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.claims.bench import Bench
from benchmarks.claims.cures import CuresPlan, cures
from benchmarks.claims.mixed_precision import MixedPlan, mixed_precision
from benchmarks.claims.predictor_samples import PredictorPlan, predictor_samples
from benchmarks.claims.recalibration import RecalibrationPlan, recalibration
from benchmarks.claims.retraining import RetrainingPlan, retraining
from benchmarks.claims.section import Section, write_index, write_section
from benchmarks.claims.stability import stability
from benchmarks.claims.supernet_trainings import StabilityPlan
from benchmarks.parts.report import command, machine
from qfa_search.supernet.allocator import reuse_freed_memory
from qfa_search.supernet.files import BUNDLED_SUPERNETS, resolve_supernet

Plan = StabilityPlan | RetrainingPlan | MixedPlan | RecalibrationPlan | PredictorPlan | CuresPlan
LETTERS = {
    "a": "stability",
    "b": "retraining",
    "c": "mixed",
    "d": "recalibration",
    "e": "predictor",
    "f": "cures",
}
PLANS: dict[str, Plan] = {
    "stability": StabilityPlan(),
    "retraining": RetrainingPlan(),
    "mixed": MixedPlan(),
    "recalibration": RecalibrationPlan(),
    "predictor": PredictorPlan(),
    "cures": CuresPlan(),
}
QUICK: dict[str, Plan] = {
    "stability": StabilityPlan(steps=20, float_steps=20, seeds=2, optimizers=("adamw",)),
    "retraining": RetrainingPlan(
        subnets=2, epochs=0.02, long_epochs=0.04, population=40, generations=5
    ),
    "mixed": MixedPlan(places=3, candidates=1, population=40, generations=5),
    "recalibration": RecalibrationPlan(images=(0, 64, 128), draws=2, compared=4),
    "predictor": PredictorPlan(sizes=(50,), splits=2),
    "cures": CuresPlan(steps=3, float_steps=20, seeds=1, mixed=1),
}


def claim(name: str, plan: Plan) -> Callable[[Bench, str], Section]:
    """The function that tries one claim."""
    match plan:
        case StabilityPlan():
            return lambda bench, about: stability(bench, plan, about)
        case RetrainingPlan():
            return lambda bench, about: retraining(bench, plan, about)
        case MixedPlan():
            return lambda bench, about: mixed_precision(bench, plan, about)
        case RecalibrationPlan():
            return lambda bench, about: recalibration(bench, plan, about)
        case PredictorPlan():
            return lambda bench, about: predictor_samples(bench, plan, about)
        case CuresPlan():
            return lambda bench, about: cures(bench, plan, about)


def plans(args: argparse.Namespace) -> dict[str, Plan]:
    """The sizes of every claim, with those changed that were given as options."""
    given = {name: value for name, value in vars(args).items() if value is not None}
    found = {}
    for name, plan in (QUICK if args.quick else PLANS).items():
        own = {field.name for field in fields(plan)} & set(given)
        changes: Any = {
            key: tuple(given[key]) if isinstance(given[key], list) else given[key] for key in own
        }
        found[name] = replace(plan, **changes)
    return found


def chosen(text: str) -> list[str]:
    """Names of claims from "a,b" or "stability,retraining"."""
    names = [LETTERS.get(part, part) for part in text.split(",")]
    unknown = sorted(set(names) - set(PLANS))
    if unknown:
        known = ", ".join(f"{letter} ({name})" for letter, name in LETTERS.items())
        raise argparse.ArgumentTypeError(f"unknown claim {unknown[0]!r}: choose from {known}")
    return names


def parser() -> argparse.ArgumentParser:
    """The options; those without a default are sizes that a plan has already."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", type=chosen, metavar="a,b", help="default: all, in order")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--supernet", default="fashion-mnist", help="name, file or folder")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--teacher", type=Path, metavar="FILE", help="teaches (a), (b) and (f)")
    parser.add_argument("--out", type=Path, default=Path("runs/claims"), metavar="DIR")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="for the pages; default: benchmarks/results of a bundled supernet, else --out",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that train and measure")
    parser.add_argument("--steps", type=int, help="of each training in (a) and (f)")
    parser.add_argument("--float-steps", type=int, help="of the float start of (a) and (f)")
    parser.add_argument("--batch-size", type=int, help="of trainings and recalibration")
    parser.add_argument("--seeds", type=int, help="trainings of each variant in (a) and (f)")
    parser.add_argument("--optimizers", nargs="+", choices=["adamw", "muon", "sgd"], help="of (a)")
    parser.add_argument("--subnets", type=int, help="of (b)")
    parser.add_argument("--epochs", type=float, help="of fine-tuning in (b)")
    parser.add_argument("--long-epochs", type=float, help="of the long training in (b)")
    parser.add_argument("--places", type=int, help="costs in (c)")
    parser.add_argument("--candidates", type=int, help="measured at each of them")
    parser.add_argument("--population", type=int, help="of the searches of (b) and (c)")
    parser.add_argument("--generations", type=int, help="of the searches of (b) and (c)")
    parser.add_argument("--images", type=int, nargs="+", help="of recalibration in (d)")
    parser.add_argument("--draws", type=int, help="of (d)")
    parser.add_argument("--compared", type=int, help="subnets recalibrated both ways in (d)")
    parser.add_argument("--sizes", type=int, nargs="+", help="measured subnets in (e)")
    parser.add_argument("--splits", type=int, help="of (e)")
    return parser


def results_folder(args: argparse.Namespace) -> Path:
    """Where pages go unless it is said: those of real sizes of a bundled supernet are kept."""
    if args.quick or args.supernet not in BUNDLED_SUPERNETS:
        return Path(args.out)
    folder = Path("benchmarks/results")
    return folder if args.supernet == "fashion-mnist" else folder / str(args.supernet)


def main(arguments: list[str] | None = None) -> None:
    """Try the claims, print and write."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser().parse_args(arguments)
    torch.set_num_threads(1)
    reuse_freed_memory()
    bench = Bench(
        files=resolve_supernet(args.supernet),
        data=args.data,
        out=args.out,
        teacher_file=args.teacher,
        jobs=args.jobs,
    )
    found, results = plans(args), args.results or results_folder(args)
    for name in args.only or found:
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
        about = f"Written by `{command('claims', arguments)}`.\n\nMachine: {machine()}"
        write_section(claim(name, found[name])(bench, about), results)
        text = write_index(list(PLANS), results)
    print(text)


if __name__ == "__main__":
    main()
