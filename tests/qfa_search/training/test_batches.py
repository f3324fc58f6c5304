from functools import partial

import numpy as np
import pytest
import torch

from qfa_search.images.memory import Images
from qfa_search.training.batches import (
    MemoryBatches,
    TrainBatch,
    part_indices,
    prefetched,
    teacher_logits_in_memory,
)
from qfa_search.training.config import TrainConfig
from qfa_search.training.teacher import Teacher

CONFIG = TrainConfig(batch_size=4, parts=2, shift_share=0)


def _images(n=10):
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (n, 1, 6, 6)).astype(np.uint8))
    return Images(pixels, torch.arange(n), mean=(0.5,), std=(0.25,))


def test_an_epoch_sees_every_image_once():
    seen = [part_indices(10, CONFIG, step, part) for step in range(5) for part in range(2)]
    first_four_epochs = np.concatenate(seen)
    assert (np.bincount(first_four_epochs) == 4).all()
    assert sorted(first_four_epochs[:10]) == list(range(10))


def test_a_batch_is_drawn_from_step_and_part_alone():
    source = MemoryBatches(_images(), CONFIG)
    first, again, other = (source.batch(3, part, {0: 6})[0] for part in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.labels, other.labels)


def test_each_subnet_sees_every_image_once_an_epoch_and_others_than_its_neighbour():
    seen = [part_indices(8, CONFIG, 0, part, order=1) for part in range(2)]
    assert sorted(np.concatenate(seen)) == list(range(8))
    first, second = MemoryBatches(_images(), CONFIG).batch(0, 0, {0: 6, 1: 3}).values()
    assert not torch.equal(first.labels, second.labels)
    assert (first.images.shape[-1], second.images.shape[-1]) == (6, 3)


@pytest.mark.parametrize(
    "views",
    [{}, {"flip": False}, {"crop_share": 0.4, "colour": 0.3}, {"policy": "randaugment"}],
)
def test_soft_labels_belong_to_the_view_that_is_shown(views):
    class FirstColumns(torch.nn.Module):
        """Tells an image from its mirror image."""

        def forward(self, x):
            return x[:, 0, :3, 0]

    images, config = _images(), TrainConfig(batch_size=4, parts=2, shift_share=0, **views)
    teacher = Teacher(FirstColumns(), resolution=6, n_classes=3)

    def computed(share):
        device = torch.device("cpu")
        return teacher_logits_in_memory(
            teacher, images, config, batch_size=4, device=device, share=share
        )

    logits = computed(slice(None))
    assert torch.equal(logits, computed(slice(0, None, 2)) + computed(slice(1, None, 2)))
    source = MemoryBatches(images, config, logits)
    for step in range(5):
        (batch,) = source.batch(step, 0, {0: 6}).values()
        assert torch.allclose(batch.teacher_logits, teacher.network(batch.images), atol=1e-5)


@pytest.mark.parametrize("is_eager", [False, True])
def test_prefetched_batches_come_in_order(is_eager):
    def make(i):
        return [TrainBatch(torch.zeros(1), torch.tensor(i))]

    tasks = (partial(make, i) for i in range(7))
    found = prefetched(tasks, is_eager=is_eager)
    assert [int(batch.labels) for (batch,) in found] == list(range(7))
    assert list(prefetched(iter(()), is_eager=is_eager)) == []
