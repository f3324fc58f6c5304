import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from qfa_search.errors import CheckpointMismatchError, QFAError
from qfa_search.training.pretrained import PretrainedNetwork, pretrained_network
from qfa_search.training.teacher import load_teacher, save_teacher


@pytest.fixture(autouse=True)
def few_networks(monkeypatch):
    """Building all of torchvision's networks takes seconds."""
    few = ["swin_t", "vit_b_16", "resnet18", "squeezenet1_0", "squeezenet1_1", "shufflenet_v2_x0_5"]
    monkeypatch.setattr("torchvision.models.list_models", lambda module: few)


@pytest.fixture
def weights(tmp_path):
    """A file of weights of `name` for 7 classes."""

    def write(name):
        torch.manual_seed(0)
        network = get_model(name, weights=None, num_classes=7)
        save_file(network.state_dict(), tmp_path / "w.safetensors")
        return tmp_path / "w.safetensors", network

    return write


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_the_network_is_known_by_its_weights_and_gets_a_new_last_layer(weights, name):
    path, trained = weights(name)
    network = pretrained_network(path, 3, 32)
    assert network.name == name
    assert network(torch.randn(2, 1, 32, 32)).shape == (2, 3)
    first, *_ = trained.state_dict()
    assert torch.equal(network.network.state_dict()[first], trained.state_dict()[first])


@pytest.mark.slow
def test_a_network_that_takes_one_side_alone_gets_it(weights):
    network = pretrained_network(weights("vit_b_16")[0], 3, 96)
    assert network.eval()(torch.randn(1, 3, 96, 96)).shape == (1, 3)


def test_a_teacher_with_its_own_weights_reads_back(weights, tmp_path, toy_space):
    path, _ = weights("squeezenet1_1")
    network = pretrained_network(path, toy_space.n_classes, 32)
    save_teacher(tmp_path / "t.safetensors", network, toy_space, 4)
    teacher = load_teacher(tmp_path / "t.safetensors", toy_space)
    x = torch.randn(2, toy_space.input_channels, 32, 32)
    assert torch.equal(teacher.network(x), network.eval()(x))


def test_weights_of_something_else_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    monkeypatch.setattr("qfa_search.training.timm_networks.find_spec", lambda name: None)
    with pytest.raises(CheckpointMismatchError, match=r"in torchvision.*'qfa-search\[timm\]'"):
        pretrained_network(path, 3, 32)
    path.write_bytes(b"not a file of weights")
    with pytest.raises(ValueError, match="no readable safetensors file"):
        pretrained_network(path, 3, 32)


def test_a_teacher_of_a_package_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr("qfa_search.training.timm_networks.find_spec", lambda name: None)
    with pytest.raises(QFAError, match=r"needs the package timm: pip install 'qfa-search\[timm\]'"):
        PretrainedNetwork("timm/vit_tiny_patch16_224", 3, 32)
