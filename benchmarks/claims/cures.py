"""What helps a training of mixed bit widths: the recipe, and the recipe with one thing changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed, parallel_config

from benchmarks.claims.bench import Bench
from benchmarks.claims.bit_norms import bit_norm_supernet
from benchmarks.claims.section import Row, Section
from benchmarks.claims.supernet_trainings import (
    MIXED_SHARE,
    StabilityPlan,
    float_start,
    start_config,
    train_variant,
)
from benchmarks.parts.report import COLOURS, markdown_table, new_figure, tidy
from benchmarks.supernet_scores import corners
from qfa_search.supernet.mobilenet_v3 import Supernet
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "cures"
RECIPE = "the recipe"
MIXED_GROUP = "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """The recipe with one thing changed.

    Attributes:
        about: What is changed.
        changes: Fields of the recipe.
        make: Makes the supernet of a space.
        mixed_share: Of the steps that have 32 bits as one more choice.
    """

    about: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[[SearchSpace], Supernet] = Supernet
    mixed_share: float = MIXED_SHARE


CURES = {
    RECIPE: Cure(
        about="largest, smallest and two random subnets a step, which learn from labels and from "
        f"a teacher in floating point; in the first {MIXED_SHARE:.0%} of the steps 32 bits is one "
        "more choice"
    ),
    "no teacher": Cure(about="labels alone", changes={"teacher_weight": 0.0, "label_weight": 1.0}),
    "six subnets": Cure(
        about="four random subnets a step, so that a step takes longer", changes={"n_random": 4}
    ),
    "no 32 bits": Cure(about="only the space's own bit widths, from the first step", mixed_share=0),
    "norms per bits": Cure(
        about="a factor and a shift of every norm for each bit width of the layer's input",
        make=bit_norm_supernet,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CuresPlan:
    """Sizes of the comparison.

    Attributes:
        steps: Optimizer steps of each training.
        float_steps: Of the float network that all start from.
        batch_size: Images per step and subnet.
        seeds: Trainings of each variant.
        mixed: Random subnets that are scored beside those of one bit width.
    """

    steps: int = 400
    float_steps: int = 400
    batch_size: int = 64
    seeds: int = 3
    mixed: int = 12

    @property
    def start(self) -> StabilityPlan:
        """The plan whose float networks are the starts."""
        return StabilityPlan(
            float_steps=self.float_steps, batch_size=self.batch_size, seeds=self.seeds
        )


def cures(bench: Bench, plan: CuresPlan, about: str) -> Section:
    """Train every variant from the same starts; compare bit widths and mixed subnets."""
    names, X = scored(bench.space, plan.mixed)
    tried = {n: c for n, c in CURES.items() if bench.teacher_file or n != "no teacher"}
    bench.source(start_config(bench, plan.start, 0))  # images and soft labels, once for all
    with parallel_config("loky", n_jobs=bench.jobs, inner_max_num_threads=1):
        seeds = range(plan.seeds)
        starts = Parallel()(delayed(float_start)(bench, plan.start, seed) for seed in seeds)
        found = Parallel()(
            delayed(_top1)(bench, plan, name, seed, starts[seed])
            for seed in seeds
            for name in tried
        )
    table = np.array(found).reshape(plan.seeds, len(tried), len(X))
    groups = grouped(names, table)
    return Section(
        name=NAME,
        title="What helps a training of mixed bit widths",
        parts=[
            "Which parts of the recipe help low and mixed bit widths, and would more of what is "
            "known help?",
            about,
            f"For each of the seeds 0 to {plan.seeds - 1} a float network is trained for "
            f"{plan.float_steps} steps by the preset {bench.preset_name} (largest subnet); all "
            f"start from its weights, with {plan.steps} steps of {plan.batch_size} images for each "
            "subnet, a shortened recipe. "
            + " ".join(f"*{name}*: {cure.about}." for name, cure in CURES.items() if name in tried),
            f"Top-1 on validation after recalibration: mean of the largest, a middle and the "
            f"smallest architecture at one bit width, and of {plan.mixed} random subnets of mixed "
            "ones; mean over seeds, and for all but the first its difference from the recipe "
            "within each seed ± standard error. **Bold**: more than two standard errors.",
            _table(list(tried), groups),
            verdict(list(tried), groups),
        ],
        rows=[
            Row(case=case, at=plan.steps, repeat=seed, metric=f"top1 {group}", value=value)
            for group, values in groups.items()
            for seed, of_seed in enumerate(values)
            for case, value in zip(tried, of_seed, strict=True)
        ],
        figure=_plot(list(tried), groups),
    )


def scored(space: SearchSpace, n_mixed: int) -> tuple[list[str], Genomes]:
    """Groups and genomes `(n, n_genes)` of the subnets that are scored."""
    names, X = corners(space)
    rng = np.random.default_rng(0)
    mixed = [space.layout.encode(space.sample(rng)) for _ in range(n_mixed)]
    groups = [name.split(" ")[1] for name in names] + [MIXED_GROUP] * n_mixed
    return groups, np.concatenate([X, np.array(mixed).reshape(n_mixed, X.shape[1])])


def grouped(names: list[str], table: Floats) -> dict[str, Floats]:
    """Means over the subnets of each group, `(seeds, variants)`, and over the groups."""
    groups = {
        group: table[:, :, [name == group for name in names]].mean(axis=2)
        for group in dict.fromkeys(names)
    }
    return {**groups, "mean": np.mean(list(groups.values()), axis=0)}


def gap(values: Floats, variant: int) -> tuple[float, float]:
    """Difference of a variant from the first, mean over seeds and its standard error."""
    gaps = values[:, variant] - values[:, 0]
    n = len(gaps)
    error = float(gaps.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return float(gaps.mean()), error


def verdict(names: list[str], groups: Mapping[str, Floats]) -> str:
    """What each change did to the mean of the groups."""
    sentences = []
    for i, name in enumerate(names[1:], start=1):
        mean, error = gap(groups["mean"], i)
        outcome = "helps" if mean > 2 * error else "hurts" if mean < -2 * error else "no difference"
        sentences.append(f"{name}: **{outcome}** ({mean:+.2f} ± {error:.2f} points)")
    return f"*Result*, against the recipe, mean of the groups: {'; '.join(sentences)}."


def _top1(bench: Bench, plan: CuresPlan, name: str, seed: int, start: Any) -> list[float]:
    """Scores of one training, in the order of `scored`."""
    cure = CURES[name]
    config = replace(start_config(bench, plan.start, seed), **{"n_random": 2, **cure.changes})
    _, X = scored(bench.space, plan.mixed)
    settings = {
        **bench.settings,
        "start": start.stem,
        "steps": plan.steps,
        "recipe": asdict(config),
        "cure": name,
        "mixed share": cure.mixed_share,
        "X": X.tolist(),
    }
    subnets = {str(i): genome for i, genome in enumerate(X)}
    numbers = bench.runs.numbers(
        f"{NAME}-{name.replace(' ', '-')}-seed{seed}",
        settings,
        lambda folder: train_variant(
            bench,
            cure.make,
            config,
            plan.steps,
            start,
            folder,
            mixed_share=cure.mixed_share,
            subnets=subnets,
        ),
    )
    return [numbers["top1"].get(key, math.nan) for key in subnets]


def _table(names: list[str], groups: Mapping[str, Floats]) -> str:
    rows = []
    for i, name in enumerate(names):
        cells = []
        for values in groups.values():
            cell = f"{values[:, i].mean():.2f}"
            if i:
                mean, error = gap(values, i)
                shown = f"**{mean:+.2f}**" if abs(mean) > 2 * error else f"{mean:+.2f}"
                cell += f" ({shown} ± {error:.2f})"
            cells.append(cell)
        rows.append((name, *cells))
    return markdown_table(("", *groups), rows)


def _plot(names: list[str], groups: Mapping[str, Floats]) -> Figure:
    """Differences from the recipe, a group of bars for each change."""
    figure = new_figure(7.2, 3.6)
    axes = figure.subplots()
    width = 0.8 / len(groups)
    for j, (colour, (group, values)) in enumerate(zip(COLOURS, groups.items(), strict=False)):
        at = np.arange(len(names) - 1) + (j - (len(groups) - 1) / 2) * width
        means, errors = np.transpose([gap(values, i) for i in range(1, len(names))])
        errors = np.where(np.isfinite(errors), errors, 0)
        axes.bar(at, means, width, yerr=errors, capsize=2, color=colour, label=group)
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.set_xticks(np.arange(len(names) - 1), names[1:])
    axes.set_ylabel("points above the recipe")
    axes.legend(frameon=False, fontsize=8, ncols=len(groups))
    tidy(figure)
    return figure
