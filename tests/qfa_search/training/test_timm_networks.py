import json

import pytest
import torch
from safetensors.torch import save_file

from qfa_search.training import timm_networks
from qfa_search.training.pretrained import pretrained_network
from qfa_search.training.teacher import load_teacher, save_teacher

timm = pytest.importorskip("timm")


@pytest.fixture
def weights(tmp_path):
    """A file of weights of `name` for 7 classes."""

    def write(name, file="w.safetensors"):
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=False, num_classes=7)
        save_file(network.state_dict(), tmp_path / file)
        return tmp_path / file, network

    return write


@pytest.fixture(autouse=True)
def few_networks(monkeypatch):
    """Building all networks takes minutes."""
    few = {"vgg": ["vgg11"], "mobilenetv3": ["mobilenetv3_small_075", "mobilenetv3_small_050"]}
    every = [name for names in few.values() for name in names]
    monkeypatch.setattr(timm, "list_modules", lambda: list(few))
    monkeypatch.setattr(timm, "list_models", lambda module="": few.get(module, every))
    monkeypatch.setattr("torchvision.models.list_models", lambda module: [])


def test_a_network_is_known_by_its_weights_teaches_and_reads_back(weights, tmp_path, toy_space):
    path, trained = weights("mobilenetv3_small_050")
    network = pretrained_network(path, toy_space.n_classes, 32)
    assert network.name == "timm/mobilenetv3_small_050"
    first, *_ = trained.state_dict()
    assert torch.equal(network.network.state_dict()[first], trained.state_dict()[first])
    save_teacher(tmp_path / "t.safetensors", network, toy_space, 4)
    teacher = load_teacher(tmp_path / "t.safetensors", toy_space)
    x = torch.randn(2, toy_space.input_channels, 32, 32)
    assert torch.equal(teacher.network(x), network.eval()(x))


@pytest.mark.parametrize("is_named_by_a_file_beside", [True, False])
def test_a_likely_name_is_tried_first(weights, tmp_path, monkeypatch, is_named_by_a_file_beside):
    name = "mobilenetv3_small_050"
    if is_named_by_a_file_beside:
        (tmp_path / "config.json").write_text(json.dumps({"architecture": name}))
        path, _ = weights(name)
    else:
        path, _ = weights(name, f"{name}.lamb_in1k.safetensors")
    monkeypatch.setattr(timm, "list_modules", lambda: pytest.fail("looked among all"))
    assert pretrained_network(path, 3, 32).name == f"timm/{name}"


def test_a_network_that_takes_one_size_alone_gets_it(monkeypatch):
    network = timm_networks.build("timm/vit_tiny_patch16_224", 3)
    assert timm_networks.fixed_side(network) == 224
    assert timm_networks.fixed_side(timm_networks.build("mobilenetv3_small_050")) is None


def test_a_name_that_is_a_place_is_refused():
    with pytest.raises(ValueError, match="timm has no network 'hf-hub:someone/something'"):
        timm_networks.build("timm/hf-hub:someone/something")
