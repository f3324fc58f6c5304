import csv
import errno
import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import search_spaces
from predictors.files import file_digest, locked_folder, read_metadata
from qfa_search.cli import app
from qfa_search.errors import CheckpointMismatchError, DataError, QFAError
from qfa_search.images.split_file import read_split
from qfa_search.measuring.scoring import RecalibrationSetting
from qfa_search.measuring.subnets import MeasureConfig, measure_all
from qfa_search.training.config import TrainConfig, preset
from qfa_search.training.run import train
from tests.training_commands import SAVES_EVERY_STEP, TINY, finish, start, train_command

SHORT = TrainConfig(float_epochs=1, mixed_epochs=1, epochs=1, batch_size=22, parts=1)


def _ignore(progress):
    pass


def _invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def own_images(image_folder, tmp_path_factory):
    """Class folders alone."""
    root = tmp_path_factory.mktemp("own images") / "photos"
    shutil.copytree(image_folder / "train", root)
    return root


@pytest.fixture(scope="module")
def own_run(own_images, tmp_path_factory):
    out = tmp_path_factory.mktemp("own run") / "p"
    options = ["--teacher-epochs", 1, "--float-epochs", 1, "--mixed-epochs", 1, "--epochs", 1]
    result = _invoke("train", "--data", own_images, "--out", out, *options, "--processes", 1)
    assert result.exit_code == 0, result.output
    return out, result


def test_a_folder_of_class_folders_is_all_that_training_needs(own_run, own_images):
    out, result = own_run
    space = search_spaces.load(out / "space.toml")
    assert space == search_spaces.fitted(image_size=18, channels=1, n_classes=4)
    with (out / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    assert len(rows) == 120
    metadata = read_metadata(out / "supernet.safetensors", "supernet")
    assert metadata["split"].keys() == {"seed", "digest", "files"}
    assert metadata["classes"] == ["bright", "columns", "dark", "rows"]
    assert metadata["data_digest"] == read_split(out / "split.csv", own_images).digest
    teacher = read_metadata(out / "teacher.safetensors", "teacher")
    assert all(teacher[key] == metadata[key] for key in ("classes", "data_digest"))
    understood = "4 classes, train 99 (class folders), val 9 (held out of train), test 12 (held out"
    assert f"images of {own_images}: {understood} of train)" in result.stderr
    assert "about " in result.stderr
    assert "on one process: teacher" in result.stderr
    for command in ("sample --supernet", "fit --samples", "--supernet"):
        assert f"\n  qfa-search {command} " in result.stdout
    assert f"--data '{own_images}'" in result.stdout


def test_subnets_are_scored_on_the_held_out_test_images(own_run, own_images):
    out, _ = own_run
    space = search_spaces.load(out / "space.toml")
    config = MeasureConfig(
        supernet=out / "supernet.safetensors",
        data=str(own_images),
        split="test",
        recalibration=RecalibrationSetting(n_batches=2),
    )
    (found,) = measure_all(config, space.layout.lowest()[None])
    assert found.n_images == 12


def test_images_that_were_added_later_change_nothing(own_run, own_images, tmp_path):
    out, _ = own_run
    images, run = tmp_path / "images", tmp_path / "run"
    shutil.copytree(own_images, images)
    shutil.copy(images / "dark" / "00.png", images / "dark" / "new.png")
    shutil.copytree(out, run)
    X = search_spaces.load(out / "space.toml").layout.lowest()[None]
    before, after = (
        measure_all(
            MeasureConfig(
                supernet=f / "supernet.safetensors",
                data=str(d),
                recalibration=RecalibrationSetting(n_batches=2),
            ),
            X,
        )
        for f, d in ((out, own_images), (run, images))
    )
    assert before == after
    (run / "split.csv").unlink()
    result = _invoke("sample", "--supernet", run, "--data", images, "--out", tmp_path / "s.sqlite")
    assert result.exit_code == 1
    assert "is not what" in result.output


def test_a_supernet_to_start_from_gives_the_tensors_that_fit(
    tmp_path, toy_space, toy_run, image_folder, caplog
):
    caplog.set_level(logging.INFO, "qfa_search")
    start_file = toy_run / "supernet.safetensors"
    train(toy_space, str(image_folder), tmp_path, SHORT, init=start_file, on_step=_ignore)
    assert "tensors, 100 % of the weights, are those of the supernet it starts from" in caplog.text
    counts = [int(w) for w in caplog.messages[0].split() if w.isdigit()]
    assert counts[0] == counts[1] > 0


def test_a_supernet_tells_what_it_started_and_learned_from(
    tmp_path, toy_space, toy_run, image_folder
):
    first = toy_run / "supernet.safetensors"
    second, third = tmp_path / "second", tmp_path / "third"
    given = {"init": first, "teacher": first}
    path = train(toy_space, str(image_folder), second, SHORT, **given, on_step=_ignore)
    path = train(toy_space, str(image_folder), third, SHORT, init=path, on_step=_ignore)
    found = read_metadata(path, "supernet")
    assert "teacher" not in found
    assert found["init"]["teacher"] == {"digest": file_digest(first)}
    assert found["init"]["init"]["digest"] == file_digest(first)
    assert found["init"]["init"]["recipe"] == read_metadata(first, "supernet")["recipe"]


def test_a_finished_supernet_trains_on_with_its_own_teacher_space_and_split(
    own_run, own_images, tmp_path
):
    first, _ = own_run
    out = tmp_path / "on"
    options = ["--continue", 3, "--init", first, "--processes", 1]
    result = _invoke("train", "--data", own_images, "--out", out, *options)
    assert result.exit_code == 0, result.output
    before, after = (
        read_metadata(folder / "supernet.safetensors", "supernet") for folder in (first, out)
    )
    assert after["steps"] == {"teacher": 0, "float": 0, "mixed": 0, "quantized": 3}
    assert after["space"] == before["space"]
    assert after["split"] == before["split"]
    assert after["scores"]["teacher"] == before["scores"]["teacher"]
    assert after["init"]["digest"] == file_digest(first / "supernet.safetensors")
    assert (out / "teacher.safetensors").read_bytes() == (
        first / "teacher.safetensors"
    ).read_bytes()


def test_a_run_killed_in_a_further_round_ends_with_the_same_file(
    tmp_path, toy_space, image_folder, caplog, monkeypatch
):
    caplog.set_level(logging.INFO, "qfa_search")
    # Every gap is wide, every gain real.
    monkeypatch.setattr("qfa_search.training.gaps.FAR_BELOW_LARGEST", -1000.0)
    monkeypatch.setattr("qfa_search.training.rounds.noise", lambda scores, n_images: -1000.0)
    config = replace(SHORT, rounds=2)
    whole = train(toy_space, str(image_folder), tmp_path / "whole", config, on_step=_ignore)
    assert caplog.text.count("below the largest: a further round follows") == 2
    assert read_metadata(whole, "supernet")["rounds"] == 2

    def interrupt(progress):
        if (progress.phase, progress.step) == ("quantized-3", 2):
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(toy_space, str(image_folder), run, config, on_step=interrupt)
    file = train(toy_space, str(image_folder), run, config, resume=True, on_step=_ignore)
    assert file.read_bytes() == whole.read_bytes()


def test_training_on_needs_a_finished_run_and_its_teacher(own_run, own_images, tmp_path):
    to = ["train", "--data", own_images, "--out", tmp_path / "on", "--continue", 3]
    assert _invoke(*to).exit_code == 2
    alone = tmp_path / "supernet.safetensors"
    shutil.copyfile(own_run[0] / "supernet.safetensors", alone)
    result = _invoke(*to, "--init", tmp_path)
    assert result.exit_code == 1
    assert "name one with --teacher" in result.stderr


def test_a_bundled_supernet_to_start_from_is_found_by_name(own_images, tmp_path):
    result = _invoke("train", "--data", own_images, "--out", tmp_path, "--init", "nothing")
    assert (result.exit_code, "no supernet 'nothing'" in result.output) == (1, True)


def test_the_space_of_other_classes_is_refused(own_images, tmp_path):
    with pytest.raises(DataError, match="4 classes, fashion-mnist 10"):
        train(
            search_spaces.load("fashion-mnist"), str(own_images), tmp_path, SHORT, on_step=_ignore
        )


def test_data_and_out_are_needed(own_images, tmp_path):
    for arguments in ([], ["--data", own_images], ["--out", tmp_path]):
        assert _invoke("train", *arguments).exit_code == 2
    both = ["--data", own_images, "--out", tmp_path]
    assert _invoke("train", *both, "--space", "fashion-mnist", "--resolution", 32).exit_code == 2


@pytest.mark.slow
def test_a_dry_run_needs_no_images(toy_space_file):
    result = _invoke(
        *("train", "--dry-run", "--space", toy_space_file, "--images", 1000),
        *("--processes", 1, "--batch-size", 8),
    )
    assert result.exit_code == 0, result.output
    for words in (
        "stages.0.0.depthwise",
        "GB",
        "1,000 images, recipe own-images: about",
        "quantized phase: ",
    ):
        assert words in result.output


@pytest.mark.slow
def test_a_training_killed_at_any_moment_ends_with_the_same_file(
    tmp_path, image_folder, toy_space_file
):
    options = (*TINY, "--processes", "1")
    whole = train_command(image_folder, toy_space_file, tmp_path / "whole", *options)
    assert finish(start(whole))[0] == 0
    run = tmp_path / "run"
    arguments = train_command(image_folder, toy_space_file, run, *options)
    for checkpoint, wait in (("float.ckpt", 0.0), ("float.ckpt", 0.3), ("quantized.ckpt", 0.1)):
        process = start([*arguments, "--resume"], with_code=SAVES_EVERY_STEP)
        while process.poll() is None and not (run / checkpoint).is_file():
            time.sleep(0.001)
        time.sleep(wait)
        process.kill()
        finish(process)
    code, _, errors = finish(start([*arguments, "--resume"]))
    if code:  # the last one was killed too late
        assert "exists already" in errors
    files = [tmp_path / name / "supernet.safetensors" for name in ("whole", "run")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_a_full_disk_ends_it_in_one_line_and_keeps_the_earlier_checkpoint(
    tmp_path, image_folder, toy_space_file
):
    done = tmp_path / "done"
    options = (*TINY, "--processes", "1")
    assert finish(start(train_command(image_folder, toy_space_file, done, *options)))[0] == 0
    sizes = [(done / f"{name}.ckpt").stat().st_size for name in ("float", "quantized")]
    run = tmp_path / "run"
    arguments = train_command(image_folder, toy_space_file, run, *options)
    code, _, errors = finish(start(arguments, largest_file=sum(sizes) // 2))
    assert code == 1
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1
    assert sorted(path.name for path in run.glob("*.ckpt")) == ["float.ckpt"]
    assert finish(start([*arguments, "--resume"]))[0] == 0
    files = [folder / "supernet.safetensors" for folder in (done, run)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--bits", "2,x"],
        ["--bits", "4,8", "--space", "fashion-mnist"],
        ["--fit-ram-kb", 20, "--data", "fashion-mnist"],
    ],
)
def test_what_only_fits_a_folder_is_wrong_usage_elsewhere(own_images, tmp_path, wrong):
    result = _invoke("train", "--data", own_images, "--out", tmp_path / "p", *wrong)
    assert result.exit_code == 2


def test_a_device_too_small_for_every_fitted_space_is_told(own_images, tmp_path):
    result = _invoke("train", "--data", own_images, "--out", tmp_path / "p", "--fit-flash-kb", 3)
    assert result.exit_code == 1
    assert "--fit-flash-kb 3 is too little" in result.stderr


@pytest.mark.slow
def test_the_weights_of_others_teach(own_images, tmp_path):
    from safetensors.torch import save_file
    from torchvision.models import get_model

    weights = tmp_path / "w.safetensors"
    save_file(get_model("squeezenet1_1", weights=None).state_dict(), weights)
    out = tmp_path / "p"
    options = ["--teacher-epochs", 1, "--float-epochs", 1, "--mixed-epochs", 1, "--epochs", 1]
    to = ["train", "--data", own_images, "--out", out, *options, "--processes", 1]
    result = _invoke(*to, "--teacher-weights", weights)
    assert result.exit_code == 0, result.output
    assert "the teacher is a squeezenet1_1 with the weights of" in result.stderr
    metadata = read_metadata(out / "teacher.safetensors", "teacher")
    assert metadata["network"] == "squeezenet1_1"
    on = _invoke(*to[:4], tmp_path / "on", "--init", out, "--continue", 2, "--processes", 1)
    assert on.exit_code == 0, on.output


def test_two_trainings_into_one_folder_are_not_both_run(tmp_path, toy_space, image_folder):
    with locked_folder(tmp_path), pytest.raises(QFAError, match="another command is writing"):
        train(toy_space, str(image_folder), tmp_path, SHORT, on_step=_ignore)
    assert not any(tmp_path.iterdir())


def test_another_space_is_refused_and_what_was_begun_stays(tmp_path, toy_space, image_folder):
    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy_space, str(image_folder), tmp_path, SHORT, on_step=interrupt)
    files = {name: (tmp_path / name).read_bytes() for name in ("space.toml", "recipe.toml")}
    assert preset(str(tmp_path / "recipe.toml")) == SHORT
    other = replace(toy_space, bit_choices=(2, 4, 8))
    with pytest.raises(CheckpointMismatchError, match="another space: bit_choices"):
        train(other, str(image_folder), tmp_path, SHORT, resume=True, on_step=_ignore)
    assert files == {name: (tmp_path / name).read_bytes() for name in files}


def test_half_a_copy_of_a_teacher_is_none(tmp_path, toy_space, toy_run, image_folder, monkeypatch):
    def copy_half(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copy_half)
    teacher = toy_run / "supernet.safetensors"
    with pytest.raises(OSError, match=r"No space.*teacher\.safetensors"):
        train(toy_space, str(image_folder), tmp_path, SHORT, teacher=teacher, on_step=_ignore)
    assert not any("teacher" in path.name for path in tmp_path.iterdir())
