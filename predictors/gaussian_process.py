"""Gaussian process regression with a length scale per group of columns.

By hand where scikit-learn has a class, because that one takes a length scale per column only and
no linear part beside the RBF kernel: with a few hundred samples hundreds of lengths overfit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search_spaces.arrays import Floats

MAX_POINTS = 1500  # training points that are kept; the time to fit grows with their cube
N_TUNING = 300  # points that the hyperparameters are chosen on
MAX_ITERATIONS = 40
MIN_NOISE = 1e-6
REACH_QUANTILE = 0.99
PRIOR_SD = 2.0  # of the logarithm of every hyperparameter, around its starting value


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted Gaussian process: a mean, and how sure it is.

    Attributes:
        inverse_lengths: One over the length scale of every column, `(d,)`.
        points: Training points times `inverse_lengths`, `(m, d)`.
        weights: Weight of the kernel at every training point, `(m,)`.
        linear: Weights of the linear part, `(d,)`.
        slopes: Prior variance of these weights, in units of `scale` squared, `(d,)`.
        amplitude: Prior variance of the other part, in the same units.
        noise: Variance of the noise of a measurement, in the same units.
        scale: Standard deviation of the training targets.
        constant: What is added.
        reach: Distance from a training point to the nearest other one, in length scales, that
            1 % of the points exceed; what is farther from all points is an extrapolation.
        rows: Which samples the points are, `(m,)`; empty where that is not known.
    """

    inverse_lengths: Floats
    points: Floats
    weights: Floats
    linear: Floats
    slopes: Floats
    amplitude: float
    noise: float
    scale: float
    constant: float
    reach: float
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def predict(self, A: Floats) -> Floats:
        """Mean of the process at `A` `(n, d)`, `(n,)`."""
        return self.predict_with_distance(A)[0]

    def predict_with_distance(self, A: Floats) -> tuple[Floats, Floats]:
        """Mean of the process, and the distance to the nearest training point, both `(n,)`.

        Distances are in length scales.
        """
        columns, half_squares, squared_inverse_lengths = self._prepared
        # exp(x.p - |x|^2 / 2 - |p|^2 / 2), the products of all points and the linear part at once.
        products = A @ columns
        exponent = products[:, :-1]
        exponent -= half_squares
        exponent -= (0.5 * ((A * A) @ squared_inverse_lengths))[:, None]
        np.minimum(exponent, 0, out=exponent)
        distance = np.sqrt(-2 * exponent.max(axis=1))
        kernel = np.exp(exponent, out=exponent)
        return kernel @ self.weights + products[:, -1] + self.constant, distance

    def deviation(self, A: Floats) -> Floats:
        """Standard deviation of a new measurement at `A` `(n, d)`, its noise included, `(n,)`."""
        from scipy.linalg import cho_solve

        points, factor = self._posterior
        inputs = np.asarray(A, dtype=np.float64)
        kernel = self._kernel(inputs, points)
        prior = self.amplitude + (inputs * inputs) @ self.slopes
        variance = prior - (kernel * cho_solve((factor, True), kernel.T).T).sum(axis=1)
        return np.asarray(self.scale * np.sqrt(np.maximum(variance, 0) + self.noise))

    def _kernel(self, A: Floats, B: Floats) -> Floats:
        lengths = self.inverse_lengths
        rbf = np.exp(-0.5 * squared_distances(A * lengths, B * lengths))
        return np.asarray(self.amplitude * rbf + (A * self.slopes) @ B.T)

    @cached_property
    def _posterior(self) -> tuple[Floats, Floats]:
        """Training points, not scaled, and the lower Cholesky factor of their noisy kernel."""
        from scipy.linalg import cho_factor

        points = self.points.astype(np.float64) / self.inverse_lengths
        kernel = self._kernel(points, points) + self.noise * np.eye(len(points))
        return points, cho_factor(kernel, lower=True)[0]

    @cached_property
    def _prepared(self) -> tuple[Floats, Floats, Floats]:
        """What predictions multiply inputs with, half of |p|^2 of every point, inverse squares."""
        columns = np.concatenate([self.points * self.inverse_lengths, self.linear[None]])
        half_squares = 0.5 * (self.points * self.points).sum(axis=1)
        return np.ascontiguousarray(columns.T), half_squares, self.inverse_lengths**2


def fit(
    A: Floats, y: Floats, groups: Sequence[slice], *, rng: np.random.Generator
) -> GaussianProcess:
    """Gaussian process with an RBF and a linear kernel, lengths and weights by group.

    The kernel is `a exp(-1/2 sum_g |x_g - x'_g|^2 / l_g^2) + sum_g b_g x_g . x'_g`, plus noise.
    The hyperparameters maximize the marginal likelihood (with a wide prior around their starting
    values) on at most `N_TUNING` points; the process itself is conditioned on at most
    `MAX_POINTS`. Both are drawn from the samples by `rng`.

    Args:
        A: Inputs `(n, d)`.
        y: Targets `(n,)`.
        groups: Columns of each group; together they cover every column.
        rng: Source of randomness.

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equations 2.23,
        2.24, 2.30 (mean, variance, marginal likelihood) and 5.9 (gradient of the last).
    """
    from scipy.linalg import cho_factor, cho_solve

    order = rng.permutation(len(y))[:MAX_POINTS]
    points = np.asarray(A[order], dtype=np.float64)
    constant, scale = float(y.mean()), float(y.std()) or 1.0
    targets = (y[order] - constant) / scale
    theta = _tune(points[:N_TUNING], targets[:N_TUNING], groups)
    lengths, slopes, amplitude, noise = _unpack(theta, len(groups))
    inverse_lengths, linear = np.empty(A.shape[1], dtype=np.float32), np.empty(A.shape[1])
    for group, length, slope in zip(groups, lengths, slopes, strict=True):
        inverse_lengths[group], linear[group] = 1 / length, slope
    scaled = in_length_scales(points, inverse_lengths)
    distances = squared_distances(scaled.astype(np.float64), scaled.astype(np.float64))
    kernel = amplitude * np.exp(-0.5 * distances)
    kernel += (points * linear) @ points.T + noise * np.eye(len(points))
    weights = cho_solve(cho_factor(kernel), targets) * scale
    return GaussianProcess(
        inverse_lengths=inverse_lengths,
        points=scaled,
        weights=(weights * amplitude).astype(np.float32),
        linear=(linear * (weights @ points)).astype(np.float32),
        slopes=linear.astype(np.float32),
        amplitude=amplitude,
        noise=noise,
        scale=scale,
        constant=constant,
        reach=_reach(distances),
        rows=order,
    )


def in_length_scales(A: Floats, inverse_lengths: Floats) -> NDArray[np.float32]:
    """Inputs `(n, d)` as `GaussianProcess.points` are, from the same bits the same bits."""
    return (np.asarray(A, dtype=np.float64) * inverse_lengths).astype(np.float32)


def _tune(points: Floats, targets: Floats, groups: Sequence[slice]) -> Floats:
    """Logarithms of lengths, slopes, amplitude and noise that suit the targets best."""
    from scipy.linalg import cho_factor, cho_solve
    from scipy.optimize import minimize

    n, n_groups = len(targets), len(groups)
    distances = np.stack([squared_distances(points[:, g], points[:, g]) for g in groups])
    products = np.stack([points[:, g] @ points[:, g].T for g in groups])
    # Start where every group counts alike: typical distances near 9 in sum, slopes in sum 1.
    mean_square = np.maximum([p.trace() / n for p in products], 1e-3)
    start = np.concatenate(
        [0.5 * np.log(mean_square * n_groups / 2), -np.log(mean_square * n_groups), [0.0, -3.0]]
    )

    def loss(theta: Floats) -> tuple[float, Floats]:
        lengths, slopes, amplitude, noise = _unpack(theta, n_groups)
        parts = distances / lengths[:, None, None] ** 2
        rbf = amplitude * np.exp(-0.5 * parts.sum(axis=0))
        linear = products * slopes[:, None, None]
        kernel = rbf + linear.sum(axis=0) + noise * np.eye(n)
        factor = cho_factor(kernel)
        inverse = cho_solve(factor, np.eye(n))
        weights = inverse @ targets
        value = 0.5 * targets @ weights + np.log(factor[0].diagonal()).sum()
        # d loss / d kernel; every gradient is a sum over it times d kernel / d theta.
        outer = 0.5 * (inverse - np.outer(weights, weights))
        along = outer * rbf
        gradient = np.concatenate(
            [
                np.einsum("ij,gij->g", along, parts),
                np.einsum("ij,gij->g", outer, linear),
                [along.sum(), outer.trace() * (noise - MIN_NOISE)],
            ]
        )
        away = theta - start
        return float(value + 0.5 * away @ away / PRIOR_SD**2), gradient + away / PRIOR_SD**2

    bounds = [(at - 8, at + 8) for at in start]
    result = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": MAX_ITERATIONS},
    )
    return np.asarray(result.x)


def _unpack(theta: Floats, n_groups: int) -> tuple[Floats, Floats, float, float]:
    values = np.exp(theta)
    lengths, slopes = values[:n_groups], values[n_groups : 2 * n_groups]
    return lengths, slopes, float(values[-2]), float(values[-1]) + MIN_NOISE


def _reach(squared_distances: Floats) -> float:
    """Distance to the nearest other point that 1 % of the points exceed."""
    np.fill_diagonal(squared_distances, np.inf)
    return float(np.sqrt(np.quantile(squared_distances.min(axis=1), REACH_QUANTILE)))


def squared_distances(A: Floats, B: Floats) -> Floats:
    """Squared Euclidean distances of the rows of `A` `(n, d)` and `B` `(m, d)`, `(n, m)`."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(A, B, "sqeuclidean"))
