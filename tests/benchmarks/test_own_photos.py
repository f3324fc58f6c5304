from pathlib import Path

import pytest
import torch

from benchmarks import own_photos
from benchmarks.parts.photo_baselines import (
    Baseline,
    alone_at_8_bits,
    logistic_regression,
    separable,
)
from qfa_search.images.memory import Images
from qfa_search.training.config import TrainConfig
from search_spaces import fitted

CONFIG = TrainConfig(batch_size=16, parts=2, flip=False)
BLINK = 1e-4  # minutes


@pytest.fixture(scope="module")
def images():
    """Two classes that brightness tells apart."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    noise = torch.randint(0, 100, (64, 3, 16, 16), generator=generator)
    pixels = (noise + 150 * labels[:, None, None, None]).to(torch.uint8)
    return Images(pixels, labels, (0.5,) * 3, (0.25,) * 3)


def test_logistic_regression_tells_bright_from_dark(images):
    assert logistic_regression(images, images).top1 == 100


def test_networks_alone_are_trained_for_the_time_and_their_size_is_counted(images):
    small = separable(images, images, 2, CONFIG, BLINK)
    assert 30 < small.size_kb < 45
    assert small.mflops > 0
    assert 0 < small.cpu_minutes < 1
    space = fitted(image_size=16, channels=3, n_classes=2)
    alone = alone_at_8_bits(space, space.smallest(), images, images, CONFIG, BLINK)
    assert 0 <= alone.top1 <= 100
    assert alone.size_kb > 13


def test_the_commands_are_those_of_users():
    lines = own_photos.commands("photos", Path("runs/p"), ["--minutes", "3"], 50)
    assert [line[3] for line in lines] == ["train", "sample", "fit", "--supernet", "evaluate"]
    assert lines[0][-2:] == ["--minutes", "3"]


def test_the_report_shows_front_and_baselines():
    test = [{"top1_test": 91.24, "size_kb": 14.0, "mflops": 0.25}]
    alone = [Baseline("logistic regression", 60.0, 120.0, None, 0.1)]
    text = own_photos.report(test, alone, {"train": {"wall": 120.0, "cpu": 240.0}})
    assert "| front 0 | 91.2 | 14.0 | 0.250 |  |" in text
    assert "| logistic regression | 60.0 | 120.0 |  | 0.1 |" in text
    assert "train 2.0 min; 4.0 CPU minutes in all" in text
