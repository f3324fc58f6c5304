import json
import os
import pickle

import numpy as np
import pytest
import torch

from qfa_search.errors import CheckpointMismatchError
from qfa_search.published.files import (
    outliers,
    read_architectures,
    read_checkpoint,
    read_samples_json,
)
from tests.qfa_search.published.published_release import SPACE, sample_rows


class _Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_a_checkpoint_with_code_is_refused_without_being_run(tmp_path, save):
    save({"weight": _Code(tmp_path / "ran")}, tmp_path / "b.pth")
    with pytest.raises(ValueError, match="is refused"):
        read_checkpoint(tmp_path / "b.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("as_npy", [True, False])
def test_architectures_with_code_are_refused_without_being_run(tmp_path, as_npy):
    code = _Code(tmp_path / "ran")
    if as_npy:
        np.save(tmp_path / "a.npy", np.array([code], dtype=object), allow_pickle=True)
    else:
        (tmp_path / "a.npy").write_bytes(pickle.dumps(code))
    with pytest.raises(ValueError, match="is refused"):
        read_architectures(tmp_path / "a.npy", SPACE)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 truncated"])
def test_a_broken_checkpoint_is_named(tmp_path, content):
    (tmp_path / "b.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"b\.pth"):
        read_checkpoint(tmp_path / "b.pth")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {f"module.{n}": v for n, v in s.items()},
    ],
)
@pytest.mark.parametrize("is_old", [False, True])
def test_a_state_is_found_in_every_common_wrapping(tmp_path, wrap, is_old):
    torch.save(
        wrap({"a.weight": torch.ones(2)}),
        tmp_path / "b.pth",
        _use_new_zipfile_serialization=not is_old,
    )
    assert list(read_checkpoint(tmp_path / "b.pth")) == ["a.weight"]


def test_a_file_without_a_state_is_a_mismatch(tmp_path):
    torch.save([1, 2], tmp_path / "b.pth")
    with pytest.raises(CheckpointMismatchError, match="no state"):
        read_checkpoint(tmp_path / "b.pth")


def test_samples_are_read_with_their_cost_checked(tmp_path):
    rows = sample_rows(20)
    (tmp_path / "s.json").write_text(json.dumps(rows))
    found = read_samples_json(tmp_path / "s.json", SPACE)
    assert found.n_rows == len(found.X) == 20
    assert found.cost_error < 1e-9
    assert sorted(found.top1) == pytest.approx(sorted(row["acc1"] for row in rows))


def test_equal_networks_are_one_sample_with_their_mean_accuracy(tmp_path):
    row = sample_rows(1)[0]
    skipped = next(s for s in range(5) if row["d"][s] < 4) * 4 + 3
    other = json.loads(json.dumps(row)) | {"acc1": row["acc1"] + 2}
    other["ks"][skipped], other["bs"][2 + skipped] = 0, [32] * 6  # genes without effect
    (tmp_path / "s.json").write_text(json.dumps([row, other]))
    found = read_samples_json(tmp_path / "s.json", SPACE)
    assert (len(found.X), found.n_rows) == (1, 2)
    assert found.top1[0] == pytest.approx(row["acc1"] + 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.pop("acc1"), "sample 0.*acc1"),
        (lambda r: r.update(r=130), "resolution must be one of"),
        (lambda r: r.update(r=224.9), "r must be a whole number"),
        (lambda r: r.update(bs=[[2.9] * len(g) for g in r["bs"]]), "must be a whole number"),
        (lambda r: r["bs"].pop(), "expected 25"),
        (lambda r: r["ks"].pop(), "has 175 genes, expected 176"),
    ],
)
def test_a_wrong_sample_is_named(tmp_path, change, says):
    row = sample_rows(1)[0]
    change(row)
    (tmp_path / "s.json").write_text(json.dumps([row]))
    with pytest.raises(ValueError, match=says):
        read_samples_json(tmp_path / "s.json", SPACE)


def test_the_outlier_rule_drops_what_stands_apart():
    rng = np.random.default_rng(0)
    cost = rng.uniform(8, 40, 300)
    top1 = 75 - 60 / np.sqrt(cost) + rng.normal(0, 0.1, 300)
    top1[7] -= 30
    found = outliers(cost, top1)
    assert found[7]
    assert found.mean() < 0.1
