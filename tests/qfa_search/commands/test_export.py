import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from qfa_search.cli import app
from qfa_search.deployment import formats
from qfa_search.measuring.subnets import measure_config, measured_images, measured_network

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def _run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def subnet_file(toy_space, tmp_path_factory):
    path = tmp_path_factory.mktemp("subnet") / "subnet.json"
    path.write_text(json.dumps(toy_space.smallest().to_dict()))
    return path


@pytest.fixture(scope="module")
def exported(toy_run, image_folder, subnet_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "m.onnx"
    options = ["--supernet", toy_run, "--data", image_folder, "--out", out]
    result = _run("export", subnet_file, *options, "--verify", 6)
    assert result.exit_code == 0, result.output
    return out, result.output


def test_export_verifies_on_validation_images_and_says_so(exported):
    out, printed = exported
    assert "onnxruntime (none), onnxruntime (basic)" in printed
    assert "6 images" in printed
    assert "class equal 6/6" in printed
    assert "\nverified\n" in printed
    about = json.loads(out.with_name("m.onnx.json").read_text())
    assert about["verified"] is True
    assert about["files"]["m.onnx"]["bytes"] == out.stat().st_size
    assert about["preprocessing"]["first_side"] == 16


def test_a_file_that_is_not_equal_ends_with_exit_code_1(
    toy_run, image_folder, subnet_file, tmp_path, monkeypatch
):
    def write_wrong(plan, path, options):
        first = replace(plan.layers[0], bias=plan.layers[0].bias + 1)
        return formats._write_onnx(replace(plan, layers=(first, *plan.layers[1:])), path, options)

    wrong = tuple(replace(found, write=write_wrong) for found in formats.FORMATS)
    monkeypatch.setattr(formats, "FORMATS", wrong)
    out = tmp_path / "m.onnx"
    options = ["--supernet", toy_run, "--data", image_folder, "--out", out]
    result = _run("export", subnet_file, *options, "--verify", 4)
    assert result.exit_code == 1
    assert "first in the input of first_block.depthwise" in result.output
    assert not out.exists()
    assert (tmp_path / "m.onnx.unverified" / "m.onnx").exists()


def test_predict_by_file_and_by_subnet_agree(exported, toy_run, image_folder, subnet_file):
    photo = next((image_folder / "val" / "columns").iterdir())
    by_file = _run("predict", "--model", exported[0], photo, "--json")
    options = ["--supernet", toy_run, "--data", image_folder, "--json"]
    by_subnet = _run("predict", subnet_file, photo, *options)
    assert (by_file.exit_code, by_subnet.exit_code) == (0, 0), by_file.output + by_subnet.output
    one, other = json.loads(by_file.output), json.loads(by_subnet.output)
    assert [c["name"] for c in one[0]["classes"]] == [c["name"] for c in other[0]["classes"]]
    for a, b in zip(one[0]["classes"], other[0]["classes"], strict=True):
        assert a["probability"] == pytest.approx(b["probability"], abs=1e-3)


def test_predict_prepares_a_photo_as_the_validation_images(toy_run, image_folder, subnet_file):
    import torch

    from qfa_search.deployment.classifier import Classifier
    from search_spaces import Subnet

    config = measure_config(toy_run / "supernet.safetensors", str(image_folder))
    subnet = Subnet.from_dict(json.loads(subnet_file.read_text()))
    network = measured_network(config, subnet)
    classifier = Classifier.from_network(network, toy_run)
    images = next(measured_images(config).batches(subnet.resolution, 1000))[0]
    photo = next((image_folder / "train" / "rows").iterdir())
    prepared = classifier.preprocessing.prepare(photo, subnet.resolution)
    assert prepared.shape == images[:1].shape
    everything = [
        classifier.preprocessing.prepare(path, subnet.resolution)
        for path in sorted((image_folder / "train").rglob("*.png"))
    ]
    assert all(any(torch.equal(image[None], other) for other in everything) for image in images)


def test_what_cannot_be_is_one_line(toy_run, image_folder, subnet_file, exported, tmp_path):
    options = ["--supernet", toy_run, "--data", image_folder]
    again = _run("export", subnet_file, *options, "--out", exported[0])
    assert (again.exit_code, "exists already" in again.output) == (1, True)
    opset = _run("export", subnet_file, *options, "--out", tmp_path / "m.onnx", "--opset", 13)
    assert (opset.exit_code, "opset must be one of [21, 25]" in opset.output) == (1, True)
    for place, taken in (("m.onnx", "m.onnx.json"), ("m.c", "m.h"), ("n.c", "n.c.unverified")):
        (tmp_path / taken).write_text("mine")
        beside = _run("export", subnet_file, *options, "--out", tmp_path / place)
        assert (beside.exit_code, beside.output.count("\n")) == (1, 1)
        assert f"{taken}: exists already" in beside.output
        assert (tmp_path / taken).read_text() == "mine"
        assert not (tmp_path / place).exists()
    (tmp_path / "file").write_text("")
    inside = _run("export", subnet_file, *options, "--out", tmp_path / "file" / "m.onnx")
    assert (inside.exit_code, inside.output.count("\n")) == (1, 1)
    both = _run("export", subnet_file, "--out", "m.onnx", "--verify", 3, "--no-verify")
    assert both.exit_code == 2
    photo = _run("predict", "--model", exported[0], tmp_path / "no.png")
    assert (photo.exit_code, photo.output.strip()) == (1, f"error: no photo at {tmp_path}/no.png")
    foreign = _run("predict", "--model", subnet_file, subnet_file)
    assert (foreign.exit_code, foreign.output.count("\n")) == (1, 1)
    damaged = _run("predict", "--model", exported[0], subnet_file)
    assert (damaged.exit_code, "cannot read image" in damaged.output) == (1, True)
    sound = next((image_folder / "val" / "columns").iterdir())
    both = _run("predict", "--model", exported[0], subnet_file, sound)
    assert (both.exit_code, both.output.count("\n")) == (1, 2)
    assert f"{sound}: " in both.output


def test_an_opset_is_one_of_onnx(subnet_file, toy_run, tmp_path):
    result = _run(
        "export", subnet_file, "--supernet", toy_run, "--opset", 21, "--out", tmp_path / "m.c"
    )
    assert (result.exit_code, "--opset is for --format onnx" in result.output) == (2, True)
