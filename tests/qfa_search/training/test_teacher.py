from dataclasses import replace

import pytest
import torch

from qfa_search.errors import CheckpointMismatchError
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.teacher import (
    dense_teacher,
    largest_as_teacher,
    load_teacher,
    save_teacher,
)


@pytest.fixture
def teacher_file(tmp_path, toy_space):
    network = dense_teacher(toy_space, 4)
    network(torch.randn(8, 1, 16, 16))
    save_teacher(tmp_path / "t.safetensors", network, toy_space, 4)
    return tmp_path / "t.safetensors", network.eval()


def test_a_saved_teacher_gives_the_same_logits(teacher_file, toy_space):
    path, network = teacher_file
    loaded = load_teacher(path, toy_space)
    x = torch.randn(3, 1, 16, 16)
    assert torch.equal(loaded.network(x), network(x))
    assert (loaded.resolution, loaded.n_classes) == (16, 4)


def test_a_teacher_of_other_classes_is_refused(teacher_file, toy_space):
    with pytest.raises(CheckpointMismatchError, match="knows 4 classes, toy has 1 and 5"):
        load_teacher(teacher_file[0], replace(toy_space, n_classes=5))


def test_a_missing_or_foreign_teacher_is_told(tmp_path, toy_space):
    with pytest.raises(ValueError, match="no teacher at"):
        load_teacher(tmp_path / "none.safetensors", toy_space)


def test_the_largest_network_teaches_without_its_quantizers(toy_space):
    supernet = Supernet(toy_space)
    batches = [(torch.randn(8, 1, 16, 16), torch.zeros(8)) for _ in range(2)]
    teacher = largest_as_teacher(supernet, batches, 2)
    float_net = Supernet(toy_space.in_floating_point())
    float_net.load_state_dict({k: supernet.state_dict()[k] for k in float_net.state_dict()})
    x = batches[0][0]
    expected = float_net(x, float_net.space.largest())
    torch.testing.assert_close(teacher.network.train()(x), expected)


@pytest.mark.parametrize("resolution", [12, 28, 64, 224])
def test_a_teacher_fits_any_image_size(toy_space, resolution):
    space = replace(toy_space, resolutions=(resolution,), input_channels=3)
    assert dense_teacher(space, 4)(torch.randn(2, 3, resolution, resolution)).shape == (2, 4)
