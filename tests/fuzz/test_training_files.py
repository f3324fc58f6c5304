"""What a training reads: checkpoints, recipes, splits, the course so far."""

from __future__ import annotations

import json
import random
import tomllib
from dataclasses import asdict
from types import MappingProxyType

import pytest
import torch
from safetensors.torch import save_file

from qfa_search.images.digests import read_digests
from qfa_search.images.sources import list_images
from qfa_search.images.split_file import SPLIT_FILE, read_known, read_split, write_split
from qfa_search.training import metrics
from qfa_search.training.checkpoint import MARK, Checkpoint
from qfa_search.training.config import TrainConfig, preset, settings
from qfa_search.training.phase import Progress
from qfa_search.training.pretrained import known_weights
from qfa_search.training.timm_networks import _architecture_beside
from tests.fuzz.mutations import VALUES
from tests.fuzz.reading import SEED, N, byte_changes, json_changes

pytestmark = pytest.mark.slow


def _checkpoint(path):
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    origins = MappingProxyType({"space": {"name": "x"}})
    return Checkpoint(path, TrainConfig(), origins, network, optimizer, scaler)


@pytest.mark.parametrize("is_of_earlier_version", [False, True])
def test_checkpoints(tmp_path, tried, is_of_earlier_version):
    path = tmp_path / "float.ckpt"
    _checkpoint(path).save(3)
    data = path.read_bytes()
    if is_of_earlier_version:  # without a digest
        data = data[data.index(b"\n", len(MARK)) + 1 :]
    counts = tried(lambda path: _checkpoint(path).load(), path, byte_changes(data, 20))
    assert counts["refused"] > N / 3


def test_states_of_checkpoints(tmp_path, tried):
    path = tmp_path / "float.ckpt"
    checkpoint = _checkpoint(path)
    checkpoint.save(3)
    data = path.read_bytes()
    path.write_bytes(data[data.index(b"\n", len(MARK)) + 1 :])
    rng = random.Random(f"{SEED} 21")

    def contents():
        good = torch.load(path, weights_only=True)
        for _ in range(N):
            state = {**good, "config": dict(good["config"])}
            holder = rng.choice([state, state["config"], state["origins"]])
            holder[rng.choice([*holder, "x"])] = rng.choice(VALUES)
            torch.save(state, path)
            yield path.read_bytes()

    tried(lambda path: _checkpoint(path).load(), path, contents())


def _toml(config):
    return "".join(
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n"
        for name, value in asdict(config).items()
    ).encode()


def test_recipes(tmp_path, tried):
    def read(path):
        recipe = preset(str(path))
        recipe.n_steps("quantized", 1000), recipe.images_per_step

    text = _toml(TrainConfig())
    assert tomllib.loads(text.decode()) == asdict(TrainConfig())
    assert tried(read, tmp_path / "recipe.toml", byte_changes(text, 22))["refused"] > N / 3


def test_settings(tmp_path, tried):
    def read(path):
        settings([path.read_bytes().decode(errors="replace")])

    tried(read, tmp_path / "setting", byte_changes(b"learning_rate=0.25", 23))


@pytest.fixture
def split_file(image_folder, tmp_path):
    split = list_images(str(image_folder))
    write_split(tmp_path / SPLIT_FILE, split)
    return tmp_path / SPLIT_FILE


def test_splits(split_file, image_folder, tried):
    def read(path):
        split = read_split(path, image_folder)
        split.digest, split.as_csv(), read_known(path)

    counts = tried(read, split_file, byte_changes(split_file.read_bytes(), 24))
    assert counts["refused"] > N / 3


def test_digests(split_file, image_folder, tried):
    digests = split_file.with_name("digests.csv")

    def read(path):
        split = read_split(split_file, image_folder)
        split.digest, read_known(split_file)

    tried(read, digests, byte_changes(digests.read_bytes(), 25))


def test_digests_with_cut_rows_are_refused(tmp_path):
    (tmp_path / "d.csv").write_text("path,digest\na/b.png\n")
    with pytest.raises(ValueError, match="a row is cut"):
        read_digests(tmp_path / "d.csv")


def test_weights_of_others(tmp_path, tried, monkeypatch):
    few = ["squeezenet1_0", "squeezenet1_1"]
    monkeypatch.setattr("torchvision.models.list_models", lambda module: few)
    monkeypatch.setattr("qfa_search.training.timm_networks.find_spec", lambda name: None)
    path = tmp_path / "w.safetensors"
    small = {"a.weight": torch.ones(2, 3), "num_batches_tracked": torch.tensor(3)}
    save_file(small, path, metadata={"format": "pt"})
    counts = tried(known_weights, path, byte_changes(path.read_bytes(), 27))
    assert counts["refused"] == N


def test_what_stands_beside_weights_of_others(tmp_path, tried):
    text = json.dumps({"architecture": "resnet18", "num_classes": 7})

    def read(path):
        assert isinstance(_architecture_beside(tmp_path / "w.safetensors"), str)

    contents = (*byte_changes(text.encode(), 28), *json_changes(text, 29))
    assert tried(read, tmp_path / "config.json", contents) == {"read": 2 * N}


def test_the_course_so_far(tmp_path, tried):
    """What a full disk or an editor made of it never ends a training."""
    step = Progress("float", 20, 60, (1.0, 2.0), 0.1, 1.0, 10.0, 0.5)
    with metrics.metrics_writer(tmp_path, tensorboard=False) as write:
        for phase in ("teacher", "float"):
            write(Progress(phase, 20, 60, (1.0, 2.0, 3.0), 0.1, 1.0, 10.0, 0.5))
    path = tmp_path / metrics.METRICS_FILE

    def read(path):
        with metrics.metrics_writer(tmp_path, tensorboard=False) as write:
            write(step)

    assert tried(read, path, byte_changes(path.read_bytes(), 26)) == {"read": N}
