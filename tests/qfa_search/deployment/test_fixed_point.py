from dataclasses import replace

import numpy as np
import pytest
import torch

import qfa_search
import search_spaces
from predictors import cost_arrays
from predictors.c_memory import flash_bytes
from qfa_search import ExportError
from qfa_search.deployment.fixed_point import fixed_point_logits
from qfa_search.deployment.integers import STREAM_BITS, integer_plan
from qfa_search.deployment.plan import network_plan
from qfa_search.images import fashion_mnist
from tests.qfa_search.deployment.networks import normalized, pixels, random_plan

UNIT = 2.0**-STREAM_BITS


@torch.inference_mode()
def _logits_of(network, images, **grid):
    return network(normalized(images, **grid)).numpy()


@pytest.mark.parametrize("seed", range(4))
def test_logits_are_those_of_the_network_but_for_ties(toy_space, seed):
    subnet = toy_space.sample(np.random.default_rng(seed))
    network, plan = random_plan(toy_space, subnet, seed)
    images = pixels(toy_space, 60, subnet.resolution, seed + 5)
    logits = fixed_point_logits(integer_plan(plan), images) * UNIT
    error = np.abs(logits - _logits_of(network, images)).max(1)
    assert (error < 1e-3).sum() >= 50, np.sort(error)


@pytest.mark.parametrize("offset", [-2.0, 0.0, 0.4, 2.0])
def test_a_zero_between_or_beyond_the_codes_is_exact_at_borders(toy_space, offset):
    subnet = toy_space.largest()
    network, plan = random_plan(toy_space, subnet, 3, offset)
    images = pixels(toy_space, 60, subnet.resolution, 9)
    logits = fixed_point_logits(integer_plan(plan), images) * UNIT
    error = np.abs(logits - _logits_of(network, images)).max(1)
    assert np.median(error) < 1e-3


def test_a_member_of_the_imagenet_space_runs_with_its_float_stem_and_gates():
    space = search_spaces.load("mobilenet-v3-w1.2")
    subnet = space.smallest()
    network, plan = random_plan(space, subnet)
    images = pixels(space, 2, subnet.resolution)
    logits = fixed_point_logits(integer_plan(plan), images) * UNIT
    expected = _logits_of(network, images)
    # The 16-bit stem and gates are close, not equal: a few codes differ.
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.9


def test_batches_do_not_change_an_image(toy_space):
    subnet = toy_space.smallest()
    _, plan = random_plan(toy_space, subnet)
    images = pixels(toy_space, 70, subnet.resolution)
    integers = integer_plan(plan)
    together = fixed_point_logits(integers, images)
    assert np.array_equal(fixed_point_logits(integers, images[63:66, ..., 0]), together[63:66])
    assert fixed_point_logits(integers, images[:0]).shape == (0, 4)


def test_images_of_another_shape_are_refused(toy_space):
    _, plan = random_plan(toy_space, toy_space.smallest())
    with pytest.raises(ValueError, match=r"expected uint8 images of shape \(n, 12, 12, 1\)"):
        fixed_point_logits(integer_plan(plan), np.zeros((2, 16, 16), np.uint8))


def test_without_mean_and_deviation_there_is_no_way_from_pixels(toy_space):
    network, _ = random_plan(toy_space, toy_space.smallest())
    with pytest.raises(ExportError, match=r"give preprocessing=..., with the mean"):
        integer_plan(network_plan(network))


def test_a_layer_in_floating_point_is_named(toy_space):
    space = replace(toy_space, name="wide", bit_choices=(4, 32))
    with pytest.raises(ExportError, match=r"first_block\.depthwise computes in floating point"):
        integer_plan(random_plan(space, space.largest())[1])


@pytest.mark.slow
@pytest.mark.parametrize("which", ["smallest", "largest"])
def test_a_bundled_subnet_answers_as_torch_does(which):
    if not fashion_mnist.DEBIAN_FOLDER.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed")
    supernet = qfa_search.load_supernet("fashion-mnist")
    subnet = getattr(supernet.space, which)()
    data = fashion_mnist.fashion_mnist()
    network = qfa_search.extract(supernet, subnet)
    train = data.drawn("train", 1024).batches(subnet.resolution, 64)
    qfa_search.recalibrate(network, train, n_batches=16, sequential=True)
    plan = network_plan(network, mean=fashion_mnist.MEAN, std=fashion_mnist.STD)
    test = data.images("test").take(range(2000))
    size = subnet.resolution, subnet.resolution
    images = torch.nn.functional.interpolate(
        test.pixels.float(), size, mode="bilinear", antialias=True
    )
    images = images.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    grid = {"mean": fashion_mnist.MEAN, "std": fashion_mnist.STD}
    own = np.concatenate(
        [_logits_of(network, images[i : i + 250], **grid) for i in range(0, 2000, 250)]
    ).argmax(1)
    answers = fixed_point_logits(integer_plan(plan), images).argmax(1)
    labels = test.labels.numpy()
    assert (answers == own).mean() >= 0.999
    assert abs((answers == labels).mean() - (own == labels).mean()) <= 0.001


def test_images_of_more_pixels_than_c_counts_are_refused(toy_space):
    space = replace(toy_space, resolutions=(12, 256))
    with pytest.raises(ExportError, match=r"stem has maps of 256 pixels a side, .* up to 255"):
        integer_plan(random_plan(space, space.largest())[1])
    with pytest.raises(ValueError, match="stem has no form in C"):
        flash_bytes(space, space.largest())
    assert flash_bytes(space, space.smallest()) > 0
    ends = np.stack([space.layout.lowest(), space.layout.highest()])
    known = cost_arrays(space, ends, ["flash_kb", "ram_kb"])
    assert {name: np.isnan(values).tolist() for name, values in known.items()} == {
        "flash_kb": [False, True],
        "ram_kb": [False, True],
    }
