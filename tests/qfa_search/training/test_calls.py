import json

import pytest
from typer.testing import CliRunner

import qfa_search
from qfa_search.cli import app


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
    ("options", "told"),
    [
        (["--images", "5"], "--images goes with --dry-run and without --data"),
        (["--images", "5", "--dry-run"], "--images goes with --dry-run and without --data"),
        (["--minutes", "5", "--dry-run"], "--dry-run goes without --minutes"),
    ],
)
def test_no_option_is_left_unheeded(tmp_path, options, told):
    place = ["--data", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["train", *place, *options])
    assert result.exit_code == 2
    assert told in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()
