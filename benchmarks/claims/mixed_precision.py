"""Claim: a front of mixed precision beats fronts of one bit width throughout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.claims.bench import Bench, paired_gap, standard_error
from benchmarks.claims.fronts import MIXED, front_names, searched_front
from benchmarks.claims.section import Row, Section
from benchmarks.parts.report import COLOURS, markdown_table, new_figure, tidy
from predictors import cost_arrays
from search_spaces.arrays import Bools
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "mixed"
LEAST_SHARE = 0.85  # of the cost of a place: cheaper subnets are not compared there


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedPlan:
    """Sizes of the comparison.

    Attributes:
        places: Costs at which the fronts are compared.
        candidates: Members of a front measured on validation at each place.
        population: Of every search.
        generations: Of every search.
    """

    places: int = 8
    candidates: int = 3
    population: int = 200
    generations: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """The best of a front's candidates at one place, by validation.

    Attributes:
        front: Name of the front.
        place: Index of the cost.
        mflops: What it costs.
        val: Top-1 on validation.
        hits: Which test images it gets right, `(n_images,)`.
    """

    front: str
    place: int
    mflops: float
    val: float
    hits: Bools

    @property
    def test(self) -> float:
        """Top-1 on test."""
        return 100 * float(self.hits.mean())


def mixed_precision(bench: Bench, plan: MixedPlan, about: str) -> Section:
    """Search every front, choose on validation, report on test."""
    fronts = {
        name: searched_front(bench, name, plan.population, plan.generations)
        for name in front_names(bench.space)
    }
    costs = {name: _mflops(bench, X) for name, X in fronts.items()}
    limits = places(list(costs.values()), plan.places)
    candidates = {
        (name, i): X[near(costs[name], limit, plan.candidates)]
        for name, X in fronts.items()
        for i, limit in enumerate(limits)
    }
    candidates = {place: X for place, X in candidates.items() if len(X)}
    everything = np.concatenate(list(candidates.values()))
    bench.top1(everything, "val")  # all at once, so that processes share them
    chosen: dict[tuple[str, int], Genomes] = {}
    val: dict[tuple[str, int], float] = {}
    for place, X in candidates.items():
        top1 = bench.top1(X, "val")
        chosen[place], val[place] = X[top1.argmax()], float(top1.max())
    hits = bench.hits(np.array(list(chosen.values())), "test")
    mflops = _mflops(bench, np.array(list(chosen.values())))
    members = [
        Member(
            front=name,
            place=i,
            mflops=float(mflops[k]),
            val=val[name, i],
            hits=hits[k],
        )
        for k, (name, i) in enumerate(chosen)
    ]
    n_test, n_val = bench.n_images("test"), bench.n_images("val")
    return Section(
        name=NAME,
        title="Mixed against uniform precision",
        parts=[
            "Does a search over bit widths of every layer find better subnets than a search "
            "with the same bit width in all layers, at equal cost?",
            about,
            f"{len(fronts)} searches with the same predictor, population {plan.population}, "
            f"{plan.generations} generations, seed 0: the whole space, and the same architectures "
            "with one bit width. None starts from measured subnets. The product's first "
            "population has uniform subnets in it, so the mixed search has seen some. At "
            f"{plan.places} costs, evenly spaced in the logarithm, up to {plan.candidates} "
            f"members of each front within {LEAST_SHARE:g} to 1 times that cost are measured on "
            f"validation ({n_val} images); the best of them is measured on test ({n_test} "
            "images). An empty cell: the front has no member there; a uniform member is then "
            "compared with the next cheaper mixed one.",
            "Top-1 on test ± binomial standard error (on validation; MFLOPs).",
            _table(members, limits, n_test),
            "Mixed minus uniform on test ± standard error of the difference, which is paired: "
            "both subnets see the same images, and only those that one of them alone gets right "
            "count. **Bold**: more than two standard errors.",
            _gap_table(members, limits),
            verdict(members),
            selection(members),
        ],
        rows=[
            Row(case=m.front, at=m.mflops, repeat=m.place, metric=f"top1 {split}", value=value)
            for m in members
            for split, value in (("val", m.val), ("test", m.test))
        ],
        figure=_plot(members, n_test),
    )


def places(costs: list[np.ndarray], n: int) -> np.ndarray:
    """`n` costs from just above the cheapest member to the most expensive one."""
    low = min(cost.min() for cost in costs)
    high = max(cost.max() for cost in costs)
    return np.geomspace(min(low / LEAST_SHARE, high), high, n)


def near(costs: np.ndarray, limit: float, n: int) -> np.ndarray:
    """Indices of the `n` most expensive members within reach below `limit`; costs rise."""
    inside = np.flatnonzero((costs <= limit * (1 + 1e-9)) & (costs >= LEAST_SHARE * limit))
    return inside[-n:]


def pairs_with(members: list[Member], name: str) -> dict[int, tuple[Member, Member]]:
    """At each place the mixed member and that of the front `name`.

    Where the mixed front has no member, its next cheaper one is compared.
    """
    mixed: dict[int, Member] = {}
    for m in sorted((m for m in members if m.front == MIXED), key=lambda m: m.place):
        mixed.update({place: m for place in range(m.place, 1 + max(m.place for m in members))})
    uniform = {m.place: m for m in members if m.front == name}
    return {i: (mixed[i], uniform[i]) for i in sorted(uniform) if i in mixed}


def uniform_fronts(members: list[Member]) -> list[str]:
    """Names of the fronts that have a member somewhere, without the mixed one."""
    return list(dict.fromkeys(m.front for m in members if m.front != MIXED))


def verdict(members: list[Member]) -> str:
    """Where mixed precision is ahead of each uniform one by more than two standard errors."""
    sentences, outcomes = [], []
    for name in uniform_fronts(members):
        pairs = list(pairs_with(members, name).values())
        if not pairs:
            continue
        gap, error = np.transpose([paired_gap(a.hits, b.hits) for a, b in pairs])
        ahead, behind = int((gap > 2 * error).sum()), int((gap < -2 * error).sum())
        mean, mean_error = paired_gap(*(np.array([p[i].hits for p in pairs]) for i in (0, 1)))
        outcomes.append((mean > 2 * mean_error, behind))
        sentences.append(
            f"{name}: ahead at {ahead}, level at {len(pairs) - ahead - behind}, behind at "
            f"{behind} of {len(pairs)} costs, {mean:+.2f} points in the mean (standard "
            f"error {mean_error:.2f})"
        )
    if not outcomes:
        return "*Result*: no costs at which both have members."
    if all(is_ahead and not behind for is_ahead, behind in outcomes):
        claim = "**holds** at this scale"
    elif any(is_ahead for is_ahead, _ in outcomes):
        claim = "**holds in part** at this scale"
    else:
        claim = "**does not hold** at this scale"
    return (
        f"*Result*: the claim {claim}. Mixed precision on test against "
        f"{'; '.join(sentences)}. Ahead and behind mean by more than two standard errors."
    )


def selection(members: list[Member]) -> str:
    """What of the validation scores was selection."""
    gaps = np.array([m.val - m.test for m in members])
    return f"Validation is {gaps.mean():+.2f} points off test in the mean of the chosen subnets."


def _mflops(bench: Bench, X: Genomes) -> np.ndarray:
    return np.asarray(cost_arrays(bench.space, X, ["mflops"])["mflops"], dtype=np.float64)


def _table(members: list[Member], limits: np.ndarray, n_images: int) -> str:
    names = list(dict.fromkeys(m.front for m in members))
    by_place = {(m.front, m.place): m for m in members}
    rows = []
    for i, limit in enumerate(limits):
        cells = []
        for name in names:
            m = by_place.get((name, i))
            error = 0.0 if m is None else float(standard_error(m.test, n_images))
            shown = m and f"{m.test:.2f} ± {error:.2f} ({m.val:.2f}; {m.mflops:.3f})"
            cells.append(shown or "")
        rows.append((f"{limit:.3f}", *cells))
    return markdown_table(("MFLOPs at most", *names), rows)


def _gap_table(members: list[Member], limits: np.ndarray) -> str:
    names = uniform_fronts(members)
    gaps = {
        (name, i): paired_gap(a.hits, b.hits)
        for name in names
        for i, (a, b) in pairs_with(members, name).items()
    }
    shown = {
        key: f"**{gap:+.2f}** ± {error:.2f}"
        if abs(gap) > 2 * error
        else f"{gap:+.2f} ± {error:.2f}"
        for key, (gap, error) in gaps.items()
    }
    rows = [
        (f"{limit:.3f}", *(shown.get((name, i), "") for name in names))
        for i, limit in enumerate(limits)
    ]
    return markdown_table(("MFLOPs at most", *names), rows)


def _plot(members: list[Member], n_images: int) -> Figure:
    figure = new_figure(6.8, 4.4)
    axes = figure.subplots()
    names = list(dict.fromkeys(m.front for m in members))
    for colour, name in zip(COLOURS, names, strict=False):
        part = [m for m in members if m.front == name]
        test = np.array([m.test for m in part])
        axes.errorbar(
            [m.mflops for m in part],
            test,
            yerr=standard_error(test, n_images),
            color=colour,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=2.2 if name == MIXED else 1.2,
            label=name,
        )
    axes.set(xscale="log", xlabel="MFLOPs", ylabel="top-1 on test (%)")
    axes.set_title("Chosen on validation, one standard error on test")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    tidy(figure)
    return figure
