import dataclasses

import numpy as np
import pytest
import torch

from benchmarks import train_speed
from benchmarks.parts.photo_step import PhotoStep, photo_text, products
from benchmarks.parts.steps import cpu_ms, random_batch, step
from benchmarks.train_speed import PlainSupernet, text, with_random_bits
from qfa_search.supernet.mobilenet_v3 import Supernet
from search_spaces import layer_specs


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_plain_layers_give_the_same_output_and_gradients(toy_space, which):
    stages = tuple(dataclasses.replace(stage, has_se=False) for stage in toy_space.stages)
    space = dataclasses.replace(toy_space, stages=stages)
    torch.manual_seed(0)
    supernet = Supernet(space).double()
    subnet = getattr(space, which)()
    images, labels = random_batch(space, subnet.resolution, 4, 0)
    images = images.double()
    gradients = []
    for network in (supernet, PlainSupernet(supernet)):
        supernet.zero_grad()
        step(network, subnet, images, labels)
        gradients.append({n: p.grad for n, p in supernet.named_parameters() if p.grad is not None})
    torch.testing.assert_close(
        supernet(images, subnet), PlainSupernet(supernet)(images, subnet), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-9)


def test_random_bits_stay_in_the_space_and_keep_the_architecture(toy_space):
    largest = toy_space.largest()
    drawn = with_random_bits(toy_space, largest, np.random.default_rng(0))
    assert toy_space.contains(drawn)
    assert [len(stage) for stage in drawn.stages] == [len(stage) for stage in largest.stages]


def test_median_leaves_the_first_call_out():
    seen = []
    times = cpu_ms({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 2)
    assert seen == ["a", "b"] * 3
    assert all(value >= 0 for value in times.values())


def test_report_states_ratios_and_targets():
    bundled = {"float": 100.0, "4-bit": 130.0, "random": 90.0, "sandwich": 400.0}
    bundled |= {f"plain {name}": 3 * ms for name, ms in bundled.items()} | {"evaluation": 900.0}
    report = text(bundled, {"float": 500.0, "random bits": 800.0}, "about")
    assert "1.30 times as long as float" in report
    assert "| 4-bit | 130 | 390 | 492 | 164 | 3.00 |" in report
    assert "0.57 to 0.75 of the published time" in report
    assert str(train_speed.PUBLISHED_FLOAT_S) in report


def test_the_page_of_photos_states_ratio_floor_and_profile():
    report = photo_text(PhotoStep(260.0, 200.0, 65.0, 256, (("aten::batch", 31.4),)), "about")
    assert "1.30 times as long as its float steps (target: at most 1.3)" in report
    assert "trains 985 images/s" in report
    assert "products are 25 % of it" in report
    assert "| aten::batch | 31 % |" in report


def test_matrix_products_have_the_multiplications_of_all_layers_but_the_depthwise(toy_space):
    layers = layer_specs(toy_space, toy_space.largest())
    counts = products(layers, 3)
    in_products = sum(n * rows * inner * outer for (rows, inner, outer, _), n in counts.items())
    assert in_products == 3 * sum(layer.macs for layer in layers if layer.kind != "depthwise")
    assert [n for (*_, has_gradient), n in counts.items() if not has_gradient] == [1]
