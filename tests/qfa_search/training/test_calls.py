import json

import pytest
from typer.testing import CliRunner

import qfa_search
from qfa_search.cli import app
from qfa_search.training.calls import plan

NO_CHOICE = {
    "space": None,
    "resolution": None,
    "bits": None,
    "fit_ram_kb": None,
    "fit_flash_kb": None,
    "preset": None,
    "recipe": {},
    "teacher": None,
    "teacher_weights": None,
    "init": None,
    "with_minutes": False,
    "continue_steps": None,
    "processes": 1,
    "resume": False,
}


def test_the_call_and_the_command_train_the_same_file(tmp_path, image_folder, toy_space_file):
    recipe = {"teacher_epochs": 0, "float_epochs": 1, "mixed_epochs": 1, "epochs": 1}
    recipe |= {"batch_size": 22, "parts": 1, "flip": True, "clip_norm": 3}
    steps = []
    path = qfa_search.train(
        image_folder,
        tmp_path / "call",
        space=toy_space_file,
        on_step=lambda progress: steps.append(progress.step),
        **recipe,
    )
    assert path == tmp_path / "call" / "supernet.safetensors"
    assert steps
    options = [word for pair in recipe.items() for word in ("--set", "{}={}".format(*pair).lower())]
    command = ["train", "--data", str(image_folder), "--space", str(toy_space_file), *options]
    result = CliRunner().invoke(
        app, [*command, "--json", "--processes", "1", "--out", str(tmp_path / "command")]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "command" / path.name).read_bytes() == path.read_bytes()
    assert json.loads(result.stdout)["scores"].keys() >= {"teacher", "largest 4/4"}
    assert "quantized phase: step 1 of " in result.stderr
    assert " left" in result.stderr
    again = ["train", "--data", str(image_folder), "--preset", str(path.with_name("recipe.toml"))]
    result = CliRunner().invoke(app, [*again, "--dry-run", "--set", "flop=1"])
    assert result.exit_code == 1
    assert "a recipe has no 'flop'; the nearest is 'flip'" in result.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resolution": 32, "space": "cifar10"}, "--resolution goes without --space"),
        ({"bits": (2, 4)}, "--bits fits a space to a folder: give one as --data"),
        ({"continue_steps": 3}, "--continue needs --init DIR"),
        (
            {"continue_steps": 3, "init": "a", "with_minutes": True},
            "--continue goes without --minutes",
        ),
        ({"processes": 0}, "--processes must be at least 1, got 0"),
        ({"recipe": {"flop": True}}, "the nearest is 'flip'"),
    ],
)
def test_the_one_condition_that_failed_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        plan("cifar10", None, is_dry_run=True, **{**NO_CHOICE, **given})


@pytest.mark.parametrize(
    ("recipe", "shown"),
    [
        ({}, (0.5, 0.3)),
        ({"epochs": 8}, (1.0, 0.0)),
        ({"epochs": 16}, (0.5, 0.3)),
        ({"epochs": 8, "colour": 0.2}, (1.0, 0.2)),
    ],
)
def test_images_that_are_shown_a_few_times_are_shown_as_they_are(
    tmp_path, image_folder, toy_space_file, recipe, shown
):
    chosen = {**NO_CHOICE, "space": toy_space_file, "preset": "own-images", "recipe": recipe}
    config = plan(str(image_folder), tmp_path / "out", **chosen).config
    assert (config.crop_share, config.colour) == shown
