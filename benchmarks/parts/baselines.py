"""Other models of accuracy, each as it is commonly used on one-hot features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from search_spaces.arrays import Floats

# Mean and standard deviation of the test subnets; None from models that know no deviation.
Prediction = tuple[Floats, Floats | None]
Baseline = Callable[[Floats, Floats, Floats, int], Prediction]

RIDGE_PENALTIES = np.logspace(-2, 3, 11)
SVR_GRID = {"C": [1.0, 10.0, 100.0, 1000.0], "epsilon": [0.01, 0.05]}
SVR_FOLDS = 5
# Of the released predictor: Adam, its learning rate, 100 epochs of 4 batches of 2048.
MLP_HIDDEN, MLP_RATE, MLP_STEPS = (600, 600, 600), 0.003, 400


def ridge(train: Floats, y: Floats, test: Floats, seed: int) -> Prediction:
    """Ridge regression, penalty by leave-one-out."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(alphas=RIDGE_PENALTIES).fit(train, y).predict(test), None


def svr(train: Floats, y: Floats, test: Floats, seed: int) -> Prediction:
    """Support vector regression with RBF kernel, C and epsilon by cross-validation."""
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.svm import SVR

    centre, scale = y.mean(), y.std()
    folds = KFold(SVR_FOLDS, shuffle=True, random_state=seed)
    search = GridSearchCV(SVR(), SVR_GRID, cv=folds, scoring="neg_root_mean_squared_error")
    return search.fit(train, (y - centre) / scale).predict(test) * scale + centre, None


def gaussian_process(train: Floats, y: Floats, test: Floats, seed: int) -> Prediction:
    """scikit-learn's Gaussian process, RBF and linear kernel with noise."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    kernel = (
        ConstantKernel(1.0) * RBF(5.0) + ConstantKernel(0.01) * DotProduct() + WhiteKernel(0.01)
    )
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    with warnings.catch_warnings():
        # A kernel that is not needed is pushed to the end of its range.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mean, deviation = model.fit(train, y).predict(test, return_std=True)
    return mean, deviation


def published_mlp(train: Floats, y: Floats, test: Floats, seed: int) -> Prediction:
    """Three hidden layers of 600, trained like the predictor released with BatchQuant.

    The released one sees 8000 samples in batches of 2048; fewer samples are one batch, and there
    are as many steps. Targets are standardized here; the released ones are shares of 1.
    """
    import torch
    from torch import nn

    centre, scale = float(y.mean()), float(y.std())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((train.shape[1], *MLP_HIDDEN)):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(MLP_HIDDEN[-1], 1))
    x = torch.from_numpy(np.asarray(train, dtype=np.float32))
    target = torch.from_numpy(np.asarray((y - centre) / scale, dtype=np.float32))
    optimizer = torch.optim.Adam(model.parameters(), lr=MLP_RATE)
    for _ in range(MLP_STEPS):
        loss = torch.mean((model(x)[:, 0] - target) ** 2)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        output = model(torch.from_numpy(np.asarray(test, dtype=np.float32)))[:, 0].numpy()
    return output.astype(np.float64) * scale + centre, None


BASELINES: dict[str, Baseline] = {
    "Ridge": ridge,
    "RBF-SVR": svr,
    "Gaussian process": gaussian_process,
    "published MLP 3x600": published_mlp,
}
