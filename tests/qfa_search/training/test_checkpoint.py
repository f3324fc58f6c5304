import io
import logging

import pytest
import torch
from torch import nn

from qfa_search.errors import CheckpointMismatchError
from qfa_search.training.checkpoint import Checkpoint
from qfa_search.training.config import TrainConfig
from qfa_search.training.optimizer import make_optimizer, set_rate

CONFIG = TrainConfig()


def _checkpoint(folder, *, config=CONFIG, width=3, **origins):
    network = nn.Linear(2, width)
    optimizer = make_optimizer(network, config)
    set_rate(optimizer, 0.1)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return Checkpoint(folder / "float.ckpt", config, origins, network, optimizer, scaler)


def test_a_state_comes_back(tmp_path):
    saved = _checkpoint(tmp_path, space={"name": "a"})
    saved.save(7)
    other = _checkpoint(tmp_path, space={"name": "a"})
    assert other.load() == 7
    assert torch.equal(other.network.weight, saved.network.weight)


def test_any_changed_byte_is_noticed_and_the_state_before_is_taken(tmp_path, caplog):
    saved = _checkpoint(tmp_path)
    saved.save(1)
    saved.save(2)
    whole = saved.path.read_bytes()
    for at in (0, 40, len(whole) // 2, len(whole) - 1):
        content = bytearray(whole)
        content[at] ^= 1
        saved.path.write_bytes(content)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert _checkpoint(tmp_path).load() == 1
        (message,) = caplog.messages
        assert message.startswith("not a readable checkpoint: ")
        assert message.endswith("float.previous.ckpt")
    for length in (0, 10, len(whole) // 2):
        saved.path.write_bytes(whole[:length])
        assert _checkpoint(tmp_path).load() == 1


class _Code:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


@pytest.mark.parametrize(
    "value",
    [
        [1],
        torch.ones(3),
        {"model": torch.ones(3)},
        {"config": 1, "step": 1, "network": {}, "optimizer": {}, "scaler": {}},
        {"config": {}, "step": "1", "network": {}, "optimizer": {}, "scaler": {}},
        {"config": {}, "step": 1, "network": {}, "optimizer": {}, "scaler": {}},
        {"config": {"a": 1}, "step": 1, "network": {}, "optimizer": {}, "scaler": {}},
        {"config": {}, "step": 1, "network": {"weight": 1}, "optimizer": {1: 2}, "scaler": {}},
        _Code(),
        {"step": _Code()},
    ],
)
@pytest.mark.parametrize("older", [True, False])
def test_files_of_something_else_are_no_readable_checkpoints(tmp_path, value, older):
    torch.save(value, tmp_path / "float.ckpt", _use_new_zipfile_serialization=not older)
    with pytest.raises(CheckpointMismatchError, match="not a readable checkpoint"):
        _checkpoint(tmp_path).load()


def test_a_checkpoint_of_an_older_version_is_read(tmp_path):
    saved = _checkpoint(tmp_path)
    saved.save(3)
    content = saved.path.read_bytes().partition(b"\n")[2]
    state = torch.load(io.BytesIO(content), weights_only=True)
    del state["origins"]
    torch.save(state, saved.path)
    assert _checkpoint(tmp_path, space={"name": "a"}).load() == 3


def test_what_must_not_change_is_named(tmp_path):
    _checkpoint(tmp_path, space={"bits": (2, 3), "name": "a"}, teacher="12ab").save(1)
    for changed, words in (
        ({"space": {"bits": (2, 4), "name": "a"}, "teacher": "12ab"}, r"another space: bits\)"),
        ({"space": {"bits": (2, 3), "name": "a"}, "teacher": None}, r"\(another teacher\)"),
        ({"config": TrainConfig(seed=3)}, r"\(seed 0, now 3\)"),
    ):
        with pytest.raises(CheckpointMismatchError, match=words):
            _checkpoint(tmp_path, **changed).load()
    with pytest.raises(CheckpointMismatchError, match="another network"):
        _checkpoint(tmp_path, width=4).load()
