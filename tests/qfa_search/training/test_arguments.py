import math
from pathlib import Path

import pytest

from qfa_search.training.arguments import Asked, recipe_for


@pytest.mark.parametrize(
    ("field", "least"),
    [("teacher_epochs", "teacher_steps"), ("mixed_epochs", "mixed_steps"), ("epochs", "steps")],
)
def test_who_counts_a_phase_in_epochs_gets_no_more_steps(field, least):
    assert getattr(recipe_for("own-images", {}, has_teacher=False), least) > 0
    config = recipe_for("own-images", {field: 0.5}, has_teacher=False)
    assert (getattr(config, field), getattr(config, least)) == (0.5, 0)


def test_the_warm_up_alone_changes_no_length():
    plain = recipe_for("own-images", {}, has_teacher=False)
    config = recipe_for("own-images", {"warmup_epochs": 0.3}, has_teacher=False)
    assert config.warmup_epochs == 0.3
    assert (config.steps, config.float_steps) == (plain.steps, plain.float_steps)


def test_a_recipe_file_of_the_users_means_what_it_says(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("epochs = 3\nsteps = 900\nrounds = 2\ncrop_share = 0.5\n")
    recipe = recipe_for(str(path), {"epochs": 12.0}, has_teacher=False)
    assert (recipe.epochs, recipe.steps, recipe.rounds, recipe.crop_share) == (12, 900, 2, 0.5)


@pytest.mark.parametrize("name", ["teacher_epochs", "teacher_steps", "teacher_width"])
def test_a_teacher_that_is_given_is_not_trained(name):
    with pytest.raises(ValueError, match=f"--teacher FILE is learned from .*: give no {name}"):
        Asked(data="a", teacher=Path("t.safetensors"), recipe={name: 8})
    Asked(data="a", teacher=Path("t.safetensors"), recipe={name: 0})
    if name != "teacher_epochs":
        with pytest.raises(ValueError, match=f"trains no teacher: give no {name}"):
            Asked(data="a", recipe={"teacher_epochs": 0, name: 8})


@pytest.mark.parametrize("minutes", [0.0, -1.0, math.inf, math.nan])
def test_minutes_are_a_positive_number(minutes):
    with pytest.raises(ValueError, match="--minutes must be a positive number"):
        Asked(data="a", minutes=minutes)
