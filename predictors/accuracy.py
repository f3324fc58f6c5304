"""Accuracy of subnets, predicted from a few hundred measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors import gaussian_process, mlp
from predictors.descriptors import Descriptors, descriptor_groups, descriptors_of
from predictors.features import features
from predictors.files import Tensors, load_tensors, save_tensors
from predictors.gaussian_process import GaussianProcess, in_length_scales
from predictors.held_out import (
    HeldOutReport,
    ridge_predictions,
    score,
    split_folds,
    spread_factor,
)
from predictors.mlp import MlpEnsemble
from predictors.tables import chunks
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes
from search_spaces.plain_data import finite_number, shown, whole_number

MIN_SAMPLES = 10
N_FOLDS = 5
MEMBERS_PER_FOLD = 2
KIND = "predictor"
BEND = 0.2  # points below 100, from where on predictions come ever nearer to it


@dataclass(frozen=True)
class AccuracyPredictor:
    """Predicts top-1 as a mean of a Gaussian process and an ensemble of perceptrons.

    Both read the same `descriptors` of the canonical genome. The share of the Gaussian process
    is the one that fits out-of-fold predictions best: with few samples of little noise it is
    the better model, and gets most of the weight; the perceptrons add a little, and carry on
    where samples are too many for the process. How far to trust the result says the posterior
    deviation of the process, scaled by out-of-fold errors: the disagreement of the perceptrons
    tells much less. Each perceptron leaves out one of five folds; the process sees all samples,
    or `gaussian_process.MAX_POINTS` of them.

    On ImageNet top-1 of 481 unseen float subnets the mean reaches a Kendall tau of 0.941 / 0.957
    / 0.964 after 100 / 200 / 500 samples, ridge regression on one-hot features alone 0.898 /
    0.901 / 0.910; the perceptrons alone are worse than the process.

    Made by `fit` or `load`; prediction needs NumPy only.

    Attributes:
        space: Space of the genomes.
        report: Scores on held-out subnets.
        n_samples: Samples that the predictor was fitted to.
        descriptors: What the models read.
        process: The Gaussian process.
        ensemble: The perceptrons.
        share: Weight of the Gaussian process in the mean, from 0 to 1.
        spread_factor: Spread over deviation of the process.
        to_top1: Polynomial from the models' output to top-1, highest power first. It is the
            identity unless the models predict the logarithm of the cross-entropy.
        residual: Standard deviation of measured top-1 from that polynomial, points.
        supernet: Digest of the supernet that the samples were measured on, if it is known.
        held_out: Top-1 of every sample as predicted by models that had not seen it, and as
            measured, percent, `(n_samples, 2)`; without rows if it is not known.
        points: Genomes of the process's points, `(n_points, n_genes)`: what a file keeps of
            them; without rows if they came from an older file, which has the points themselves.
    """

    space: SearchSpace
    report: HeldOutReport
    n_samples: int
    descriptors: Descriptors
    process: GaussianProcess
    ensemble: MlpEnsemble
    share: float
    spread_factor: float
    to_top1: tuple[float, ...]
    residual: float
    supernet: str | None = None
    held_out: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    points: Genomes = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        X: ArrayLike,
        top1: ArrayLike,
        *,
        cross_entropy: ArrayLike | None = None,
        seed: int = 0,
        supernet: str | None = None,
    ) -> AccuracyPredictor:
        """Fit a predictor to measured subnets.

        With `cross_entropy` the models are fitted to its logarithm, which the sampling of the
        validation images disturbs much less than top-1, and a rising parabola (or a line)
        through the samples turns it into top-1.

        Args:
            space: Space of the genomes.
            X: Genomes `(n, n_genes)`, at least 10; canonicalized here.
            top1: Measured top-1 in percent, `(n,)`.
            cross_entropy: Measured cross-entropy of the same subnets, above 0, `(n,)`.
            seed: Repeats the result on the same machine.
            supernet: Digest of the supernet that they were measured on; a search on another one
                refuses the predictor.

        Raises:
            ValueError: Genomes of another space, too few or unequal numbers of samples, or
                values that are not finite or out of range.
        """
        X, y = _check_samples(space, X, top1)
        target, entropy = y, None
        to_top1: tuple[float, ...] = (1.0, 0.0)
        if cross_entropy is not None:
            entropy = _check_cross_entropy(cross_entropy, len(y))
            target = np.log(entropy)
            to_top1 = _calibrate(target, y)
        rng = np.random.default_rng(seed)
        folds = split_folds(X, N_FOLDS, rng)
        descriptors = descriptors_of(space)
        A = descriptors(X)
        members = np.arange(N_FOLDS).repeat(MEMBERS_PER_FOLD)
        ensemble = mlp.fit(A, target, folds != members[:, None], seed=seed)
        groups = list(descriptor_groups(space).values())

        # Every sample is predicted by the models that have not seen it.
        held_out_process, deviation = np.empty(len(y)), np.empty(len(y))
        for fold in range(N_FOLDS):
            test = folds == fold
            part = gaussian_process.fit(A[~test], target[~test], groups, rng=rng)
            held_out_process[test] = part.predict(A[test])
            deviation[test] = part.deviation(A[test])
        outputs = ensemble.predict(A).reshape(N_FOLDS, MEMBERS_PER_FOLD, len(y))
        held_out_members = outputs[folds, :, np.arange(len(y))].mean(axis=1)
        share = _best_share(target, held_out_process, held_out_members)
        output = share * held_out_process + (1 - share) * held_out_members
        residual = float(np.sqrt(np.mean((np.polyval(to_top1, target) - y) ** 2)))
        predicted = _top1(output, to_top1)
        ratios = np.abs(predicted - y) / _spread(output, deviation, to_top1, residual)
        baseline = ridge_predictions(features(space, X), y, folds)
        process = gaussian_process.fit(A, target, groups, rng=rng)
        return cls(
            space=space,
            report=score(predicted, ratios, y, baseline, folds, entropy),
            n_samples=len(y),
            descriptors=descriptors,
            process=process,
            ensemble=ensemble,
            share=share,
            spread_factor=spread_factor(ratios),
            to_top1=to_top1,
            residual=residual,
            supernet=supernet,
            held_out=np.column_stack([predicted, y]),
            points=X[process.rows],
        )

    def predict(self, X: ArrayLike) -> Floats:
        """Predicted top-1 in percent, `(n,)`.

        Args:
            X: Genomes `(n, n_genes)`, canonical or not.

        Raises:
            ValueError: `X` is no batch of genomes of the predictor's space.
        """
        genomes = self.space.layout.check(X)
        outputs = [self._output(self.descriptors(part)) for part in chunks(genomes)]
        return _top1(np.concatenate(outputs), self.to_top1)

    def predict_with_spread(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """Predicted top-1 and its spread, both in percent and `(n,)`.

        Measured top-1 of an unseen subnet is within 1.645 spreads in 90 % of the cases: the
        spread is the deviation of the Gaussian process, scaled so that this holds for
        out-of-fold predictions.
        """
        genomes = self.space.layout.check(X)
        outputs, deviations = [], []
        for part in chunks(genomes):
            A = self.descriptors(part)
            outputs.append(self._output(A))
            deviations.append(self.process.deviation(A))
        output = np.concatenate(outputs)
        spread = _spread(output, np.concatenate(deviations), self.to_top1, self.residual)
        return _top1(output, self.to_top1), spread * self.spread_factor

    def _output(self, A: Floats) -> Floats:
        """Mean of the models at descriptors `A`, before it is turned into top-1."""
        members = self.ensemble.predict(A).mean(axis=0)
        return np.asarray(self.share * self.process.predict(A) + (1 - self.share) * members)

    def extrapolates(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Which genomes are far from all that the predictor was fitted to, `(n,)`.

        Farther, that is, from the nearest sample than 99 % of the samples are from their
        nearest one, as the Gaussian process measures distance. Neither the prediction nor its
        spread is to be trusted there.
        """
        genomes = self.space.layout.check(X)
        parts = [
            self.process.predict_with_distance(self.descriptors(part))[1]
            for part in chunks(genomes)
        ]
        return np.asarray(np.concatenate(parts) > self.process.reach)

    def save(self, path: str | Path) -> None:
        """Write everything as one safetensors file, the space and the report as metadata."""
        tensors: Tensors = {
            "descriptors.centre": self.descriptors.centre,
            "descriptors.scale": self.descriptors.scale,
            "held_out": self.held_out,
        }
        for name in _PROCESS_ARRAYS:
            tensors[f"process.{name}"] = getattr(self.process, name)
        if len(self.points):
            tensors[_GENOMES] = self.points.astype(np.uint8)  # a tenth of what the points take
            del tensors[_POINTS]
        layers = zip(self.ensemble.weights, self.ensemble.biases, strict=True)
        for i, (weight, bias) in enumerate(layers):
            tensors[f"ensemble.{i}.weight"], tensors[f"ensemble.{i}.bias"] = weight, bias
        metadata = {
            "space": self.space.to_dict(),
            "report": self.report.to_dict(),
            "n_samples": self.n_samples,
            **{f"process_{name}": getattr(self.process, name) for name in _PROCESS_NUMBERS},
            "ensemble_constant": self.ensemble.constant,
            "ensemble_scale": self.ensemble.scale,
            "share": self.share,
            "spread_factor": self.spread_factor,
            "to_top1": self.to_top1,
            "residual": self.residual,
            **({} if self.supernet is None else {"supernet": self.supernet}),
        }
        save_tensors(path, KIND, tensors, metadata)

    @classmethod
    def load(cls, path: str | Path) -> AccuracyPredictor:
        """The predictor that `save` wrote; it predicts the same numbers.

        Raises:
            ValueError: No such file, or not one of a predictor.
        """
        tensors, data = load_tensors(path, KIND)
        try:
            predictor = cls._of_plain(tensors, data)
            predictor.predict(predictor.space.layout.lowest()[None])  # shapes that do not fit
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            told = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} is not a complete predictor file: {told}") from error
        return predictor

    @classmethod
    def _of_plain(cls, tensors: Tensors, data: Mapping[str, Any]) -> AccuracyPredictor:
        space = SearchSpace.from_dict(data["space"])
        n_layers = sum(name.startswith("ensemble.") for name in tensors) // 2
        tensors = dict(tensors)
        genomes = np.zeros((0, 0), dtype=np.int64)
        if _GENOMES in tensors:
            genomes = space.layout.check(tensors.pop(_GENOMES))
        for name, array in tensors.items():
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"the values of {name} must be finite numbers")
        descriptors = Descriptors(
            space, tensors["descriptors.centre"], tensors["descriptors.scale"]
        )
        if len(genomes):
            inverse_lengths = tensors["process.inverse_lengths"]
            tensors[_POINTS] = in_length_scales(descriptors(genomes), inverse_lengths)
        process: dict[str, Any] = {
            **{name: tensors[f"process.{name}"] for name in _PROCESS_ARRAYS},
            **{name: _number(data, f"process_{name}") for name in _PROCESS_NUMBERS},
        }
        supernet = data.get("supernet")
        if supernet is not None and not isinstance(supernet, str):
            raise ValueError(f"supernet must be text, got {shown(supernet)}")
        return cls(
            space=space,
            report=HeldOutReport.from_dict(data["report"]),
            n_samples=whole_number("n_samples", data["n_samples"]),
            descriptors=descriptors,
            process=GaussianProcess(**process),
            ensemble=MlpEnsemble(
                tuple(tensors[f"ensemble.{i}.weight"] for i in range(n_layers)),
                tuple(tensors[f"ensemble.{i}.bias"] for i in range(n_layers)),
                _number(data, "ensemble_constant"),
                _number(data, "ensemble_scale"),
            ),
            share=_number(data, "share"),
            spread_factor=_number(data, "spread_factor"),
            to_top1=tuple(finite_number("to_top1", value) for value in data["to_top1"]),
            residual=_number(data, "residual"),
            supernet=supernet,
            held_out=_pairs(tensors.get("held_out", np.zeros((0, 2)))),
            points=genomes,
        )


def _pairs(array: Floats) -> Floats:
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"held_out must have two columns, got shape {array.shape}")
    return array


def _number(data: Mapping[str, Any], name: str) -> float:
    return finite_number(name, data[name])


_POINTS, _GENOMES = "process.points", "process.genomes"
_PROCESS_ARRAYS = ("inverse_lengths", "points", "weights", "linear", "slopes")
_PROCESS_NUMBERS = ("amplitude", "noise", "scale", "constant", "reach")


def _check_samples(space: SearchSpace, X: ArrayLike, top1: ArrayLike) -> tuple[Genomes, Floats]:
    genomes, y = space.layout.check(X), np.asarray(top1, dtype=np.float64)
    if y.shape != (len(genomes),):
        raise ValueError(f"expected top1 of shape ({len(genomes)},), got {y.shape}")
    if len(y) < MIN_SAMPLES:
        raise ValueError(
            f"a predictor needs at least {MIN_SAMPLES} measured subnets, got {len(y)}: "
            "sample more (a few hundred make a good one)"
        )
    bad = ~((y >= 0) & (y <= 100))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"top1 must be percentages from 0 to 100, got {y[row]} in row {row}: "
            "leave out subnets whose measurement failed"
        )
    if np.ptp(y) == 0:
        raise ValueError(
            f"all {len(y)} subnets have top1 {y[0]}, so there is nothing to rank: the cheapest is "
            "as good as any, or measure them on more validation images"
        )
    genomes = space.layout.canonicalize(genomes)
    if len(np.unique(genomes, axis=0)) < MIN_SAMPLES:
        raise ValueError(f"a predictor needs at least {MIN_SAMPLES} different subnets: sample more")
    return genomes, y


def _check_cross_entropy(cross_entropy: ArrayLike, n: int) -> Floats:
    values = np.asarray(cross_entropy, dtype=np.float64)
    if values.shape != (n,):
        raise ValueError(f"expected cross_entropy of shape ({n},), got {values.shape}")
    if not (np.isfinite(values) & (values > 0)).all() or np.ptp(values) == 0:
        raise ValueError(
            "cross_entropy must be finite, above 0 and not the same for all subnets: leave out "
            "subnets whose measurement failed"
        )
    return values


def _calibrate(target: Floats, top1: Floats) -> tuple[float, ...]:
    """Polynomial from `target` to top-1; a line where a parabola would turn near the samples."""
    low, high = target.min(), target.max()
    margin = 0.5 * (high - low)
    a, b, c = (float(v) for v in np.polyfit(target, top1, 2))
    if a == 0 or low - margin <= -b / (2 * a) <= high + margin:
        return tuple(float(v) for v in np.polyfit(target, top1, 1))
    return a, b, c


def _best_share(target: Floats, process: Floats, members: Floats) -> float:
    """Weight of `process` that makes the mean with `members` fit best, from 0 to 1."""
    gap = process - members
    square = float(gap @ gap)
    return float(np.clip((target - members) @ gap / square, 0, 1)) if square > 0 else 0.5


def _top1(output: Floats, to_top1: tuple[float, ...]) -> Floats:
    """Top-1 in percent of the models' output, `(n,)`.

    Close to 100 it bends, so that of subnets without errors the better ones still come first.
    """
    top1 = np.polyval(to_top1, output)
    bend = 100 - BEND
    bent = 100 - BEND * np.exp(-(np.maximum(top1, bend) - bend) / BEND)
    return np.asarray(np.clip(np.where(top1 > bend, bent, top1), 0, 100), dtype=np.float64)


def _spread(
    output: Floats, deviation: Floats, to_top1: tuple[float, ...], residual: float
) -> Floats:
    """Standard deviation of top-1 where that of the output is `deviation`, `(n,)`, points."""
    slope = np.polyval(np.polyder(np.array(to_top1)), output)
    return np.asarray(np.hypot(slope * deviation, residual))
