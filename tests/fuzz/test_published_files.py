"""What an import of the published release reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from qfa_search.published.files import read_architectures, read_checkpoint, read_samples_json
from tests.fuzz.reading import N, byte_changes, json_changes
from tests.qfa_search.published.published_release import SPACE, sample_rows

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("changes", [byte_changes, json_changes])
def test_samples(tmp_path, changes, tried):
    text = json.dumps(sample_rows(3))
    contents = changes(text.encode() if changes is byte_changes else text, 40)
    tried(lambda path: read_samples_json(path, SPACE), tmp_path / "samples.json", contents)


def test_architectures(tmp_path, tried):
    path = tmp_path / "architectures.npy"
    genes = SPACE.layout.to_published(SPACE.layout.sample(np.random.default_rng(0), 3))
    np.save(path, np.asarray(genes))
    data = path.read_bytes()
    headers = (start + data[128:] for start in byte_changes(data[:128], 42))
    for contents in (byte_changes(data, 41), headers):
        tried(lambda path: read_architectures(path, SPACE), path, contents)


@pytest.mark.parametrize("is_old", [False, True])
def test_checkpoints(tmp_path, is_old, tried):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.ones(5)}, path, _use_new_zipfile_serialization=not is_old)
    assert tried(read_checkpoint, path, byte_changes(path.read_bytes(), 43))["refused"] > N / 3
