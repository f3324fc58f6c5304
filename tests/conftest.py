"""Fixtures for every package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from predictors import cost_arrays
from predictors.costs import COST_COLUMNS
from qfa_search import ParetoFront
from search_spaces import SearchSpace, Stage

# Property tests repeat exactly, and a busy machine fails none of them.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def toy_space() -> SearchSpace:
    """Two stages, 8 channels, 16 pixels: everything runs in milliseconds."""
    stage = {"width": 8, "depths": (1, 2), "kernel_sizes": (3, 5), "expand_ratios": (1, 2)}
    return SearchSpace(
        name="toy",
        input_channels=1,
        n_classes=4,
        resolutions=(12, 16),
        bit_choices=(2, 3, 4),
        stem_width=8,
        stages=(Stage(stride=1, **stage), Stage(stride=2, has_se=True, **stage)),
        final_expand_width=16,
        feature_mix_width=16,
    )


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey 20 x 18 PNGs of four plain textures: 30 of each to train, 6 to test."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("images")
    rows, columns = np.indices((18, 20)) // 3 % 2
    textures = {"bright": rows * 0 + 1, "columns": columns, "dark": rows * 0, "rows": rows}
    for part, n in (("train", 30), ("val", 6)):
        for name, texture in textures.items():
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 60, (18, 20)) + 180 * texture
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02d}.png")
    return root


@pytest.fixture(scope="session")
def toy_space_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy space as a user writes one."""
    path = tmp_path_factory.mktemp("space") / "toy.toml"
    path.write_text("""
        name = "toy"
        input_channels = 1
        n_classes = 4
        resolutions = [12, 16]
        bit_choices = [2, 3, 4]
        stem_width = 8
        final_expand_width = 16
        feature_mix_width = 16

        [[stages]]
        width = 8
        stride = 1
        depths = [1, 2]
        kernel_sizes = [3, 5]
        expand_ratios = [1, 2]

        [[stages]]
        width = 8
        stride = 2
        depths = [1, 2]
        kernel_sizes = [3, 5]
        expand_ratios = [1, 2]
        has_se = true
    """)
    return path


@pytest.fixture(scope="session")
def toy_run(
    tmp_path_factory: pytest.TempPathFactory, toy_space: SearchSpace, image_folder: Path
) -> Path:
    """A folder with a toy supernet that was trained for a few steps."""
    from qfa_search.training.config import TrainConfig
    from qfa_search.training.run import train

    out = tmp_path_factory.mktemp("run")
    config = TrainConfig(float_epochs=3, mixed_epochs=1, epochs=2, batch_size=22, parts=1)
    train(toy_space, str(image_folder), out, config, on_step=lambda progress: None)
    return out


@pytest.fixture
def toy_front(toy_space: SearchSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A front of the cheapest and the largest subnet of the toy space."""
    X = np.stack([toy_space.layout.lowest(), toy_space.layout.highest()])
    unknown = np.full(2, np.nan)
    path = tmp_path_factory.mktemp("front") / "front.json"
    ParetoFront(
        space=toy_space,
        X=X,
        costs=cost_arrays(toy_space, X, COST_COLUMNS),
        top1_predicted=np.array([40.0, 60.0]),
        top1_spread=unknown,
        top1_measured=unknown,
    ).save(path)
    return path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted: kills and changed files, and what came of them."""
    reports = [r for key in ("passed", "failed") for r in terminalreporter.getreports(key)]
    lines = [f"{name}: {value}" for report in reports for name, value in report.user_properties]
    if lines:
        terminalreporter.section("counted")
        terminalreporter.line("\n".join(lines))
