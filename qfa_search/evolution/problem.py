"""The search as a pymoo problem: integer genomes in, objectives and constraints out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem

from qfa_search.errors import QFAError
from qfa_search.evolution.config import SearchConfig
from qfa_search.front.objectives import constraint_values, objective_values
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

CostFunction = Callable[[Genomes, tuple[str, ...]], Mapping[str, NDArray[Any]]]


class Predictor(Protocol):
    """Anything that ranks the subnets of a space by accuracy."""

    @property
    def space(self) -> SearchSpace:
        """Space whose genomes `predict` takes."""

    def predict(self, X: Genomes) -> Floats:
        """Top-1 accuracy in percent of genomes `(n, n_genes)`, `(n,)`."""


class SubnetProblem(Problem):
    """Objectives `F` (all minimized) and constraints `G` (met when <= 0) of genomes.

    `G` is (cost - limit) / limit per limited cost, then (min_top1 - top1) / min_top1. The
    difference of two floats has the exact sign, so `G <= 0` says exactly "cost <= limit".
    """

    def __init__(
        self,
        space: SearchSpace,
        predictor: Predictor,
        costs: CostFunction,
        config: SearchConfig,
        on_evaluated: Callable[[Genomes, dict[str, Floats]], None] | None = None,
    ) -> None:
        """Set up the problem.

        Args:
            space: Space that is searched.
            predictor: Accuracy of genomes.
            costs: Cost columns of genomes.
            config: Objectives and limits.
            on_evaluated: Called with each batch of genomes and its F, G and CV.
        """
        self.space = space
        self.predictor = predictor
        self.costs = costs
        self.config = config
        limits = config.limits
        n_limits = len(limits.max_costs()) + (limits.min_top1 is not None)
        super().__init__(
            n_var=space.layout.n_genes,
            n_obj=len(config.objectives),
            n_ieq_constr=n_limits,
            xl=0,
            xu=space.layout.n_choices - 1,
            vtype=int,
            callback=on_evaluated,
        )

    def _evaluate(self, X: Genomes, out: dict[str, Floats], *_: object, **__: object) -> None:
        assert np.issubdtype(X.dtype, np.integer), f"genomes became {X.dtype}"
        X = self.space.layout.canonicalize(X)
        config = self.config
        values: dict[str, Floats] = {
            name: np.asarray(column, dtype=np.float64)
            for name, column in self.costs(X, config.cost_columns).items()
        }
        if "top1" in config.objectives or config.limits.min_top1 is not None:
            values["top1"] = predict_top1(self.predictor, X)
        out["F"] = objective_values(values, config.objectives)
        out["G"] = constraint_values(values, config.limits)
        # pymoo would sum this up one individual at a time.
        out["CV"] = np.maximum(out["G"], 0).sum(axis=1, keepdims=True)


def predict_top1(predictor: Predictor, X: Genomes) -> Floats:
    """Predicted top1 in percent of genomes `X`, float64 `(n,)`.

    Raises:
        QFAError: The predictor's answer has another shape, or is not a number somewhere.
    """
    top1 = np.asarray(predictor.predict(X), dtype=np.float64)
    if top1.shape != (len(X),):
        raise QFAError(
            f"the predictor must return one top1 per genome, shape ({len(X)},), got {top1.shape}"
        )
    bad = int((~np.isfinite(top1)).sum())
    if bad:
        raise QFAError(
            f"the predictor returned NaN or infinity for {bad} of {len(X)} genomes: "
            "it is broken or was fitted on broken samples; fit it again"
        )
    return top1
