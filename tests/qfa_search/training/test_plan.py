import pytest

from qfa_search.training.plan import plan

NO_CHOICE = {
    "space": None,
    "resolution": None,
    "bits": None,
    "w_bits": None,
    "a_bits": None,
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
