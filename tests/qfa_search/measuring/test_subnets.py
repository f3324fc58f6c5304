import shutil
from dataclasses import replace

import numpy as np
import pytest

from predictors.files import load_tensors, save_tensors
from qfa_search.errors import CheckpointMismatchError, MeasurementError
from qfa_search.measuring.scoring import RecalibrationSetting
from qfa_search.measuring.subnets import MeasureConfig, measure, measure_all, measure_config


@pytest.fixture(scope="module")
def config(toy_run, image_folder):
    return MeasureConfig(supernet=toy_run / "supernet.safetensors", data=str(image_folder))


def test_measurements_do_not_depend_on_the_number_of_processes(config, toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 4)
    assert measure_all(config, X, jobs=1) == measure_all(config, X, jobs=2)


def test_every_genome_is_measured_once(config, toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 4)
    found = list(measure(config, X))
    assert sorted(m.index for m in found) == [0, 1, 2, 3]
    assert all(m.evaluation.n_images == 10 and m.seconds > 0 for m in found)


def test_a_supernet_that_was_trained_again_is_measured_anew(toy_run, config, tmp_path, toy_space):
    copy = tmp_path / "run"
    shutil.copytree(toy_run, copy)
    again = replace(config, supernet=copy / "supernet.safetensors")
    X = toy_space.layout.lowest()[None]
    first = measure_all(again, X)
    tensors, metadata = load_tensors(again.supernet, "supernet")
    other = {name: np.full_like(value, np.nan) for name, value in tensors.items()}
    save_tensors(again.supernet, "supernet", other, metadata)
    with pytest.raises(MeasurementError):
        measure_all(again, X)
    shutil.copy2(toy_run / "supernet.safetensors", again.supernet)
    assert measure_all(again, X) == first


def test_other_images_than_those_of_the_training_are_refused(toy_run, image_folder, tmp_path):
    shutil.copytree(image_folder, tmp_path / "d")
    (tmp_path / "d" / "train" / "dark" / "00.png").unlink()
    config = MeasureConfig(supernet=toy_run / "supernet.safetensors", data=str(tmp_path / "d"))
    with pytest.raises(CheckpointMismatchError, match=r"is not what .* was trained on"):
        measure_all(config, np.zeros((1, 1), dtype=np.int64))


@pytest.mark.parametrize(
    ("size", "told"), [(32, "32x32"), (48, "21x48"), (22, "16x64"), (4096, "1x1024")]
)
def test_batches_are_as_large_as_in_the_training(config, tmp_path, size, told):
    tensors, metadata = load_tensors(config.supernet, "supernet")
    save_tensors(tmp_path / "s", "supernet", tensors, metadata | {"recipe": {"batch_size": size}})
    setting = measure_config(tmp_path / "s", config.data).recalibration
    assert str(setting) == f"{told} sequential"


def test_small_images_are_recalibrated_on_layer_by_layer(config):
    assert measure_config(config.supernet, config.data).recalibration.sequential


@pytest.mark.parametrize("name", ["16x64 sequential", "4x8"])
def test_a_recalibration_is_found_again_by_its_name(name):
    assert str(RecalibrationSetting.parse(name)) == name


@pytest.mark.parametrize("name", ["", "16", "axb", "16x64 backwards", "0x5"])
def test_a_name_that_is_no_recalibration_is_refused(name):
    with pytest.raises(ValueError, match=r"recalibration|at least 1"):
        RecalibrationSetting.parse(name)


def test_a_name_that_is_no_device_is_refused(config):
    with pytest.raises(ValueError, match="device must be"):
        measure_config(config.supernet, config.data, device="gpu")


def test_genomes_of_another_space_are_refused(config):
    with pytest.raises(ValueError, match="expected genomes of shape"):
        measure_all(config, np.zeros((1, 5), dtype=np.int64))
