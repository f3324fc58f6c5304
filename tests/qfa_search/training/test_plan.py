import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from qfa_search.errors import CheckpointMismatchError
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.arguments import Asked
from qfa_search.training.estimate import PhaseTime
from qfa_search.training.plan import plan
from search_spaces import fitted, load, to_toml

WEIGHTS = Path("weights.safetensors")


def planned(data, out=None, **given):
    """The plan of one process."""
    data = None if data is None else str(data)
    return plan(Asked(data=data, out=out, **{"processes": 1, **given}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resolution": 32, "space": "cifar10"}, "--resolution goes without --space"),
        ({"bits": (2, 4)}, "--bits fits a space to a folder: give one as --data"),
        ({"a_bits": (8,)}, "--a-bits fits a space to a folder: give one as --data"),
        ({"w_bits": (8,), "space": "cifar10"}, "--w-bits goes without --space"),
        ({"continue_steps": 3}, "--continue needs --init DIR"),
        ({"continue_steps": 3, "init": "none"}, "--continue needs --init DIR"),
        (
            {"continue_steps": 3, "init": "a", "minutes": 5.0},
            "--continue goes without --minutes",
        ),
        (
            {"continue_steps": 3, "init": "a", "space": "cifar10"},
            "--continue goes without --space",
        ),
        (
            {"continue_steps": 3, "init": "a", "preset": "cifar10"},
            "--continue goes without --preset",
        ),
        (
            {"continue_steps": 3, "init": "a", "teacher_weights": Path("a")},
            "--continue goes without --teacher-weights",
        ),
        (
            {"continue_steps": 3, "init": "a", "recipe": {"flip": True, "epochs": 2}},
            "--continue keeps the recipe of --init: give no other flip, epochs",
        ),
        (
            {"preset": "imagenet", "teacher_weights": WEIGHTS},
            "the recipe imagenet trains none: add --set teacher_width=16",
        ),
        ({"processes": 0}, "--processes must be at least 1, got 0"),
        ({"processes": 10**9}, "--processes must be at most [0-9]+, the subnets of a step"),
        ({"recipe": {"flop": True}}, "the nearest is 'flip'"),
    ],
)
def test_the_one_condition_that_failed_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        planned("cifar10", is_dry_run=True, **given)


def test_a_training_that_goes_on_needs_its_images():
    with pytest.raises(ValueError, match="--continue needs --data"):
        planned(None, is_dry_run=True, continue_steps=3, init="a")


@pytest.mark.parametrize(
    ("space", "recipe"),
    [(None, "fashion-mnist"), ("cifar10", "cifar10"), ("mobilenet-v3-w1.2", "own-images")],
)
def test_without_images_the_recipe_is_that_of_the_space(space, recipe):
    assert planned(None, is_dry_run=True, space=space).preset == recipe


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "2/2 3/3 4/4"),
        ({"bits": (8, 4)}, "4/4 8/8"),
        ({"w_bits": (8, 2, 4), "a_bits": (8,)}, "2/8 4/8 8/8"),
        ({"bits": (1, 2), "a_bits": (6,)}, "1/6 2/6"),
    ],
)
def test_the_fitted_space_has_the_bits_of_each_side(image_folder, given, expected):
    space = planned(image_folder, is_dry_run=True, **given).space
    assert " ".join(map(str, space.uniform_bits)) == expected


def test_bits_that_are_asked_for_are_not_those_of_the_training_that_was_begun(
    tmp_path, image_folder
):
    begun = planned(image_folder, is_dry_run=True, bits=(2, 4))
    (tmp_path / "space.toml").write_text(to_toml(begun.space))

    def resumed(**given):
        return planned(image_folder, tmp_path, resume=True, **given).space

    assert resumed() == begun.space
    assert resumed(bits=(2, 4)) == begun.space
    assert resumed(bits=(2, 3, 4)).w_bit_choices == (2, 3, 4)  # the checkpoints tell the rest


def test_processes_of_torchrun_would_each_measure_another_time(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="--minutes goes without torchrun"):
        planned("cifar10", is_dry_run=True, minutes=5.0)


def test_given_minutes_hold_for_a_training_that_was_not_begun(tmp_path, image_folder, monkeypatch):
    asked = planned(image_folder, tmp_path, resume=True, minutes=50.0)

    def times(*arguments, **options):
        return [PhaseTime("quantized", 1000, 6.0)]

    monkeypatch.setattr("qfa_search.training.estimate.phase_times", times)
    half, told = asked.within(50)
    assert half.config.steps == asked.config.steps / 2
    assert sum(time.seconds for time in told) == 50 * 60
    settings = asdict(replace(half.config, steps=7)).items()
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings)
    (tmp_path / "recipe.toml").write_text(text)
    (tmp_path / "float.ckpt").touch()
    assert asked.within(50)[0].config.steps == 7


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
    chosen = {"space": toy_space_file, "preset": "own-images", "recipe": recipe}
    config = planned(image_folder, tmp_path / "out", **chosen).config
    assert (config.crop_share, config.colour) == shown


def test_who_says_how_long_the_quantized_phase_is_gets_no_further_rounds(
    tmp_path, image_folder, toy_space_file
):
    chosen = {"space": toy_space_file, "preset": "own-images"}
    recipes = ({}, {"epochs": 20.0}, {"steps": 9}, {"steps": 9, "rounds": 1})
    plans = (planned(image_folder, tmp_path, **chosen, recipe=recipe) for recipe in recipes)
    assert [found.config.rounds for found in plans] == [2, 0, 0, 1]


def test_photos_start_from_the_bundled_supernet_with_the_stages_of_their_space(
    tmp_path, image_folder, toy_space, toy_space_file, toy_run, monkeypatch
):
    other = tmp_path / "other.toml"
    other.write_text(to_toml(replace(toy_space, stages=toy_space.stages[:1])))
    monkeypatch.setattr("qfa_search.training.plan.PHOTO_START", str(toy_run))

    def start(**given):
        return planned(image_folder, tmp_path / "out", **given).init

    assert start(space=toy_space_file) is None  # the very images, for all that is known
    others = tmp_path / "others"
    shutil.copytree(image_folder, others)
    for split in others.iterdir():
        (split / "rows").rename(split / "lines")
    image_folder = others
    assert start(space=toy_space_file) == toy_run / "supernet.safetensors"
    assert start(space=toy_space_file, init="none") is None
    assert start(space=other) is None


def test_a_fitted_space_shares_nearly_all_weights_with_the_space_of_photos():
    theirs = Supernet(load("cifar10").in_floating_point()).state_dict()
    for side in (32, 64, 100):
        space = fitted(image_size=side, channels=3, n_classes=7)
        ours = Supernet(space.in_floating_point()).state_dict()
        shared = [t.numel() for k, t in ours.items() if k in theirs and theirs[k].shape == t.shape]
        assert sum(shared) / sum(t.numel() for t in ours.values()) > 0.97


def test_weights_that_no_teacher_has_are_told_before_anything_is_listed_or_timed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("torchvision.models.list_models", lambda module: ["resnet18"])
    nowhere = str(tmp_path / "no-images")
    weights = tmp_path / "w.safetensors"
    for is_dry_run in (True, False):
        with pytest.raises(ValueError, match="no readable safetensors file"):
            planned(nowhere, tmp_path / "out", teacher_weights=weights, is_dry_run=is_dry_run)
    save_file({"weight": torch.zeros(3)}, weights)
    with pytest.raises(CheckpointMismatchError, match="weights of no classifier in"):
        planned(nowhere, tmp_path / "out", teacher_weights=weights)
