import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import predictors
from predictors.files import read_metadata
from qfa_search import Preprocessing, export, export_onnx, verify_export
from qfa_search.deployment import formats
from qfa_search.deployment.c_comparison import IntegerComparison
from qfa_search.deployment.export import remove_unfinished
from qfa_search.deployment.formats import export_format
from qfa_search.deployment.plan import network_plan
from qfa_search.deployment.verify import verify_plan
from qfa_search.errors import ExportError
from qfa_search.supernet.files import resolve_supernet
from search_spaces import load
from tests.qfa_search.deployment.networks import random_images, random_network

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NAMES = ("ape", "bee", "cat", "dog")
GREY = Preprocessing(mean=(0.449,), std=(0.226,), first_side=16)


@pytest.fixture(scope="module")
def network(toy_space):
    return random_network(toy_space, toy_space.sample(np.random.default_rng(3)))


@pytest.fixture(scope="module")
def batches(network):
    images = random_images(network.space, 30, network.subnet.resolution, seed=4)
    labels = torch.arange(30) % 4
    return [(images[:7], labels[:7]), (images[7:], labels[7:])]


def test_an_exported_file_is_verified_and_described(network, batches, tmp_path):
    done = export(
        network, tmp_path / "m.onnx", images=batches, class_names=NAMES, preprocessing=GREY
    )
    assert [path.name for path in done.files] == ["m.onnx", "m.onnx.json"]
    assert done.verification.passed
    assert {found.n_images for found in done.verification.comparisons} == {30}
    about = json.loads(done.files[1].read_text())
    assert about["verified"] is True
    content = (tmp_path / "m.onnx").read_bytes()
    assert about["files"]["m.onnx"] == {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert about["totals"]["macs"] == predictors.macs(network.space, network.subnet)
    assert about["totals"]["bitops"] == predictors.bitops(network.space, network.subnet)
    assert len(about["layers"]) == len(network.specs)
    assert about["top1"]["n_images"] == 30
    assert 0 <= about["top1"]["by_engine"]["onnxruntime (all)"] <= 100
    assert about["costs"]["macs"] == about["totals"]["macs"]
    carried = json.loads(onnx.load(tmp_path / "m.onnx").metadata_props[0].value)
    assert carried["subnet"] == network.subnet.to_dict()
    assert carried["class_names"] == list(NAMES)
    assert Preprocessing.from_dict(carried["preprocessing"]) == GREY
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.json"]


def test_stored_weight_bytes_are_the_packed_ones_with_3_bits_as_4(toy_space, tmp_path):
    space = replace(toy_space, bit_choices=(3,))
    network = random_network(space, space.smallest())
    about = json.loads(export(network, tmp_path / "m.onnx").files[1].read_text())
    for layer, spec in zip(about["layers"], network.specs, strict=True):
        stored = {3: 4, 8: 8, 32: 32}[spec.bits.w_bits]
        assert layer["stored_weight_bytes"] == -(-spec.n_weights * stored // 8)
        assert layer["packed_weight_bytes"] == -(-spec.n_weights * spec.bits.w_bits // 8)


@pytest.mark.parametrize("name", ["qonnx", "torch", "npz"])
def test_every_format_is_verified_by_what_runs_it(network, batches, tmp_path, name):
    if name == "qonnx":
        pytest.importorskip("qonnx")
    file = tmp_path / "m.bin"
    done = export(network, file, format=name, images=batches)
    assert done.verification.passed
    again = verify_export(network, file, batches[0][0], format=name)
    assert again.passed
    assert again.summary().endswith("verified")


def test_c_is_compiled_run_and_compared_bit_for_bit(network, batches, tmp_path):
    from qfa_search.deployment.host_c import host_compiler

    if host_compiler() is None:
        pytest.skip("no C compiler is installed")
    done = export(network, tmp_path / "net.c", images=batches, preprocessing=GREY)
    assert [path.name for path in done.files] == ["net.c", "net.h", "net.c.json"]
    (found,) = done.verification.comparisons
    assert (found.engine, found.n_images, found.n_logits_wrong) == ("C on this machine", 30, 0)
    source = (tmp_path / "net.c").read_text()
    constant = next(line for line in source.splitlines() if line.lstrip().startswith("0x"))
    wrong = constant.replace(constant.strip()[:10], "0x12345678", 1)
    (tmp_path / "net.c").write_text(source.replace(constant, wrong, 1))
    plan = network_plan(network, mean=GREY.mean, std=GREY.std)
    failed = verify_plan(network, plan, tmp_path / "net.c", export_format("c", tmp_path), batches)
    assert "not the interpreter's" in failed.failure


def test_c_that_was_not_compiled_is_not_called_verified(network, batches, tmp_path, monkeypatch):
    monkeypatch.setattr("qfa_search.deployment.c_comparison.host_compiler", lambda: None)
    done = export(network, tmp_path / "net.c", images=batches, preprocessing=GREY)
    told = done.verification.summary()
    assert "30 images, the C file itself was not run, class equal to torch 30/30" in told
    assert told.endswith("not verified: the file was not run here")
    assert json.loads((tmp_path / "net.c.json").read_text())["verified"] is False


@pytest.mark.parametrize("name", ["net", "my-net.c", "2nd.c"])
def test_files_that_c_cannot_have_are_refused(network, tmp_path, name):
    with pytest.raises(ValueError, match=r"ends in \.c|no name in C"):
        export(network, tmp_path / name, format="c", preprocessing=GREY)
    assert not list(tmp_path.iterdir())


def test_c_needs_to_know_the_pixels(network, tmp_path):
    with pytest.raises(ExportError, match=r"give preprocessing=..., with the mean"):
        export(network, tmp_path / "net.c")


def test_a_file_that_computes_something_else_is_kept_apart(network, batches, tmp_path, monkeypatch):
    def write_wrong(plan, path, options):
        last = plan.layers[-1]
        layers = (*plan.layers[:-1], replace(last, bias=last.bias + 1))
        return formats._write_onnx(replace(plan, layers=layers), path, options)

    wrong = tuple(
        replace(found, write=write_wrong) if found.name == "onnx" else found
        for found in formats.FORMATS
    )
    monkeypatch.setattr(formats, "FORMATS", wrong)
    (tmp_path / "m.onnx").write_text("an earlier file")
    with pytest.raises(ExportError, match=r"kept in .*unverified: .*logits differ by 1,"):
        export(network, tmp_path / "m.onnx", images=batches)
    assert (tmp_path / "m.onnx").read_text() == "an earlier file"
    about = json.loads((tmp_path / "m.onnx.unverified" / "m.onnx.json").read_text())
    assert about["verified"] is False
    assert "logits differ" in about["verification"]["failure"]


def test_a_file_of_another_network_is_not_verified(network, batches, tmp_path, toy_space):
    export_onnx(network, tmp_path / "m.onnx")
    other = random_network(toy_space, network.subnet, seed=8)
    assert "wrong" in verify_export(other, tmp_path / "m.onnx", batches).failure
    smaller = random_network(toy_space, toy_space.smallest())
    with pytest.raises(ExportError):
        verify_export(smaller, tmp_path / "m.onnx", random_images(toy_space, 2, 12))


def test_a_network_in_floating_point_is_verified_by_its_logits(toy_space, tmp_path):
    space = toy_space.in_floating_point()
    network = random_network(space, space.largest())
    images = random_images(space, 9, 16).numpy()
    done = export_onnx(network, tmp_path / "m.onnx", images=images)
    assert {found.n_codes for found in done.verification.comparisons} == {0}
    other = random_network(space, space.largest(), seed=1)
    failure = verify_export(other, tmp_path / "m.onnx", images).failure
    assert failure.endswith("in floating point no codes tell which layer computes otherwise")


def test_images_of_another_resolution_are_refused(network, tmp_path):
    with pytest.raises(ValueError, match=r"expected images of shape \(n, 1, 1[26], 1[26]\), got"):
        export_onnx(network, tmp_path / "m.onnx", images=torch.zeros(2, 1, 9, 9))
    assert not (tmp_path / "m.onnx").exists()


def test_without_images_nothing_is_claimed(network, tmp_path):
    done = export_onnx(network, tmp_path / "m.onnx", opset=21)
    about = json.loads(done.files[1].read_text())
    assert done.verification is None
    assert about["verified"] is False
    assert about["verification"] is None
    assert about["opset"] == 21


def test_a_missing_package_is_one_line_that_names_the_extra(network, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"writing onnx files needs onnx: .*qfa-search\[export"):
        export_onnx(network, tmp_path / "m.onnx")


def test_unknown_formats_and_endings_are_refused(network, tmp_path):
    with pytest.raises(ValueError, match="format must be one of onnx, qonnx"):
        export(network, tmp_path / "m.onnx", format="tflite")
    with pytest.raises(ValueError, match="no format is known by the ending"):
        export(network, tmp_path / "m.tflite")
    with pytest.raises(ValueError, match="no file to verify"):
        verify_export(network, tmp_path / "m.onnx", torch.zeros(1, 1, 16, 16))


def test_a_file_takes_its_name_after_those_beside_it(network, tmp_path, monkeypatch):
    names, replace_file = [], Path.replace

    def told(self, target):
        names.append(Path(target).relative_to(tmp_path).as_posix())
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", told)
    export(network, tmp_path / "net.npz")
    assert names == ["net.npz.json", "net.npz"]


def test_what_a_killed_export_left_is_removed_and_nothing_else(network, tmp_path):
    path = tmp_path / "net.c"
    hidden = tmp_path / ".net.c.abc"
    hidden.mkdir()
    export(network, path, preprocessing=GREY)
    path.rename(hidden / "net.c")  # the last that takes its name
    (hidden / "net.c").write_bytes(other := b"of another export")
    remove_unfinished(path, export_format("c", path))
    assert (tmp_path / "net.h").exists()
    assert (hidden / "net.c").read_bytes() == other


def test_a_killed_export_is_repeated(network, tmp_path):
    path = tmp_path / "net.c"
    hidden = tmp_path / ".net.c.abc"
    hidden.mkdir()
    export(network, path, preprocessing=GREY)
    path.rename(hidden / "net.c")
    remove_unfinished(path, export_format("c", path))
    assert not list(tmp_path.iterdir())


def test_c_is_verified_from_pixels_that_are_told(network, batches, tmp_path):
    export(network, tmp_path / "net.c", preprocessing=GREY)
    assert verify_export(network, tmp_path / "net.c", batches, preprocessing=GREY).failure is None
    with pytest.raises(ExportError, match="give preprocessing="):
        verify_export(network, tmp_path / "net.c", batches)


@pytest.mark.parametrize("name", ["m.onnx", "m.pt2", "m.npz"])
def test_files_of_another_subnet_and_damaged_ones_are_refused(toy_space, batches, tmp_path, name):
    largest = random_network(toy_space, toy_space.largest())
    path = tmp_path / name
    export(random_network(toy_space, toy_space.smallest()), path)
    images = random_images(toy_space, 4, 16)
    with pytest.raises(ExportError, match=r"is no export of this network"):
        verify_export(largest, path, images)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises((ExportError, ValueError), match=r"is no(t a)? readable"):
        verify_export(largest, path, images)


@pytest.mark.parametrize(
    ("n_images", "n_equal", "is_refused"), [(1, 0, True), (19, 18, True), (20, 19, False)]
)
def test_one_of_a_few_images_may_not_have_another_class_in_c(n_images, n_equal, is_refused):
    found = IntegerComparison(
        engine="C",
        n_images=n_images,
        n_logits_wrong=0,
        n_argmax_equal=n_equal,
        top1=None,
        torch_top1=None,
    )
    assert (found.failure is not None) == is_refused


def test_pictures_of_a_published_set_keep_their_size_whatever_the_largest_resolution():
    metadata = read_metadata(resolve_supernet("fashion-mnist").weights, "supernet")
    space = replace(load("fashion-mnist"), resolutions=(36, 40))
    assert Preprocessing.of_supernet(space, metadata).first_side == 28
    assert Preprocessing.of_supernet(space, {}).first_side == 40  # of a folder
