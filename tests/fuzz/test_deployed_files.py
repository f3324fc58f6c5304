"""What runs and verifies exported networks reads: ONNX files, plans, pictures."""

from __future__ import annotations

import hashlib
import json
import warnings

import numpy as np
import onnx
import pytest
from PIL import Image

from qfa_search.deployment.classifier import Classifier
from qfa_search.deployment.export import export, remove_unfinished
from qfa_search.deployment.formats import export_format
from qfa_search.deployment.plan_file import load_plan
from qfa_search.deployment.preprocessing import Preprocessing
from qfa_search.deployment.sidecar import KEY, sidecar_path
from tests.fuzz.reading import N, byte_changes, json_changes
from tests.qfa_search.deployment.networks import random_network

pytestmark = pytest.mark.slow

RULE = Preprocessing(mean=(0.5,), std=(0.25,), first_side=16)


@pytest.fixture
def exported(toy_space, tmp_path):
    """Writes the smallest network of the toy space, as a file of some ending."""

    def write(suffix):
        network = random_network(toy_space, toy_space.smallest())
        names = ("ant", "bee", "cow", "dog")
        path = tmp_path / f"net{suffix}"
        export(network, path, class_names=names, preprocessing=RULE)
        return path

    return write


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (18, 20), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_onnx_files(exported, photo, tried):
    path = exported(".onnx")

    def read(path):
        Classifier.from_onnx(path).classify(photo)

    assert tried(read, path, byte_changes(path.read_bytes(), 30))["refused"] > N / 10


def test_what_onnx_files_say_of_themselves(exported, photo, tried):
    path = exported(".onnx")
    model = onnx.load(path)
    (entry,) = (found for found in model.metadata_props if found.key == KEY)

    def contents():
        for text in json_changes(entry.value, 31):
            entry.value = text
            yield model.SerializeToString()

    def read(path):
        Classifier.from_onnx(path).classify(photo)

    tried(read, path, contents())


def test_plans(exported, tried):
    path = exported(".npz")
    assert tried(load_plan, path, byte_changes(path.read_bytes(), 32))["refused"] > N / 3


def test_headers_of_plans(exported, tried):
    path = exported(".npz")
    with np.load(path) as file:
        arrays = dict(file)
    header = arrays.pop("plan").item()

    def contents():
        for text in json_changes(header, 33):
            np.savez(path, plan=np.array(text), **arrays)
            yield path.read_bytes()

    tried(load_plan, path, contents())


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("changes", [byte_changes, json_changes])
def test_sidecars_of_exports_that_were_killed(exported, tmp_path, changes, is_cut, tried):
    """All of an unfinished export goes, or nothing does, whatever its sidecar says."""
    path = exported(".onnx")
    beside, data = sidecar_path(path), path.read_bytes()
    path.unlink()
    text = beside.read_text()
    if is_cut:  # most changes meet what is read
        text = json.dumps({"files": json.loads(text)["files"]})
    hidden = tmp_path / f".{path.name}.abc"

    def read(beside):
        hidden.mkdir(exist_ok=True)
        (hidden / path.name).write_bytes(data)
        before = beside.read_bytes()
        remove_unfinished(path, export_format("onnx", path))
        assert beside.exists() == hidden.exists()
        assert beside.exists() or hashlib.sha256(data).hexdigest().encode() in before
        gone.append(not beside.exists())

    gone = []
    is_json = changes is json_changes
    tried(read, beside, changes(text if is_json else text.encode(), 35))
    assert any(gone)
    assert not all(gone)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".webp", ".tif"])
def test_pictures(photo, tmp_path, suffix, tried):
    path = tmp_path / f"other{suffix}"
    with Image.open(photo) as image:
        image.save(path)

    def read(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of files that it can read all the same
            RULE.prepare(path, 12)

    tried(read, path, byte_changes(path.read_bytes(), 34))
