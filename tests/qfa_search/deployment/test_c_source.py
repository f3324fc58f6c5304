from dataclasses import replace

import numpy as np
import pytest

import search_spaces
from qfa_search import ExportError
from qfa_search.deployment.c_source import c_source, write_c
from qfa_search.deployment.fixed_point import fixed_point_logits
from qfa_search.deployment.integers import integer_plan
from tests.qfa_search.deployment.compiled import SANITIZERS, run_compiled
from tests.qfa_search.deployment.networks import pixels, random_plan


def _assert_equal(space, subnet, folder, seed=0, offset=None, n=20, options=SANITIZERS):
    plan = integer_plan(random_plan(space, subnet, seed, offset)[1])
    images = pixels(space, n, subnet.resolution, seed + 1)
    images[0], images[-1] = 0, 255
    expected = fixed_point_logits(plan, images)
    classes, logits = run_compiled(folder, *c_source(plan, name="net"), images, options)
    assert np.array_equal(logits, expected)
    assert np.array_equal(classes, expected.argmax(1))


@pytest.mark.parametrize("seed", range(2))
def test_the_c_file_gives_the_interpreters_logits_bit_for_bit(toy_space, tmp_path, seed):
    subnet = toy_space.sample(np.random.default_rng(seed))
    _assert_equal(toy_space, subnet, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 10))
def test_the_c_files_of_random_subnets_are_equal_too(toy_space, tmp_path, seed):
    subnet = toy_space.sample(np.random.default_rng(seed))
    _assert_equal(toy_space, subnet, tmp_path, seed, [None, -2.0, 0.0, 2.0][seed % 4])


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"bit_choices": (8,)},
        {"bit_choices": (2, 8)},
        {"w_bit_choices": (2, 4, 8), "a_bit_choices": (8,)},
        {"w_bit_choices": (1, 5, 6, 7), "a_bit_choices": (1, 5, 7)},
        {"stem_width": 7, "n_classes": 5, "final_expand_width": 13, "feature_mix_width": 11},
        {"input_channels": 3, "stem_stride": 2},
        {"stem_bits": 32, "input_channels": 3},
    ],
    ids=str,
)
def test_other_spaces_are_equal_too(toy_space, tmp_path, change):
    space = replace(toy_space, name="other", **change)
    _assert_equal(space, space.sample(np.random.default_rng(1)), tmp_path)


@pytest.mark.slow
def test_a_member_of_the_imagenet_space_is_equal_too(tmp_path):
    space = search_spaces.load("mobilenet-v3-w1.2")
    subnet = space.sample(np.random.default_rng(0))
    _assert_equal(space, subnet, tmp_path, n=2, options=f"-O1 {SANITIZERS}")


def test_a_name_that_is_none_in_c_is_refused(toy_space):
    plan = integer_plan(random_plan(toy_space, toy_space.smallest())[1])
    with pytest.raises(ExportError, match="'my net'"):
        c_source(plan, name="my net")


def test_class_names_are_strings_of_the_file(toy_space, tmp_path):
    _, plan = random_plan(toy_space, toy_space.smallest())
    write_c(plan, tmp_path / "net.c", class_names=("a", 'b"', "c\\", "é"))
    text = (tmp_path / "net.c").read_text()
    assert '"b\\042"' in text
    assert '"\\303\\251"' in text
    assert "net_class_names[NET_CLASSES]" in (tmp_path / "net.h").read_text()
    images = pixels(toy_space, 1, 12)
    run_compiled(tmp_path, text, (tmp_path / "net.h").read_text(), images)
