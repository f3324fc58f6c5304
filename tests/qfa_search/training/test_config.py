import json
from dataclasses import asdict

import pytest

from qfa_search.training.config import PRESETS, TrainConfig, preset, read_recipe, settings


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_recipe_that_can_be_changed(name):
    assert preset(name).epochs > 0
    assert preset(name, epochs=3.5).epochs == 3.5


def test_the_imagenet_preset_has_the_published_settings():
    config = preset("imagenet")
    assert (config.mixed_epochs, config.epochs, config.warmup_epochs) == (60, 120, 5)
    assert config.learning_rate == pytest.approx(2.5e-3 * config.parts)
    assert (config.n_random + 2, config.batch_size, config.parts) == (6, 64, 32)
    assert (config.weight_decay, config.label_smoothing, config.clip_norm) == (3e-5, 0.1, 500)
    assert (config.label_weight, config.teacher_weight, config.subnet_losses) == (1, 1, "sum")


def test_a_recipe_of_an_older_version_is_read():
    older = {"epochs": 3.0, "teacher_share": 0.3}
    assert read_recipe(older) == TrainConfig(epochs=3.0, label_weight=0.7, teacher_weight=0.3)
    for other in ({"rate": 1}, {"batch_size": 2.5}, {"epochs": "3"}):
        with pytest.raises(ValueError, match="no recipe of this version"):
            read_recipe(other)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"batch_size": 10**9}, "images_per_step must be at most 1048576, got 2000000000"),
        ({"parts": 10**9}, "images_per_step must be at most"),
        ({"n_random": 10**9}, "n_random must be at most 1000"),
        ({"views": 10**9}, "views must be at most 1000"),
    ],
)
def test_a_step_that_no_memory_holds_is_refused(values, told):
    with pytest.raises(ValueError, match=told):
        TrainConfig(**values)


def test_a_seed_that_no_generator_takes_is_refused():
    assert TrainConfig(seed=2**63 - 1).seed == 2**63 - 1
    with pytest.raises(ValueError, match="seed must be at most"):
        TrainConfig(seed=2**63)


def test_few_images_are_seen_for_a_least_number_of_steps():
    config = TrainConfig(epochs=2, steps=100, batch_size=4, parts=2, float_epochs=0, float_steps=9)
    assert config.n_steps("quantized", 80) == 100
    assert config.n_steps("quantized", 8000) == 2000
    assert config.n_steps("float", 80) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": float("nan")}, "epochs must be a positive number, got nan"),
        ({"epochs": 1e308}, "epochs must be at most 1000000000, got 1e\\+308"),
        ({"mixed_steps": 10**400}, "mixed_steps must be at most 1000000000"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"parts": 0}, "parts must be at least 1"),
        ({"label_smoothing": 1.5}, "label_smoothing must be between 0 and 1"),
        ({"optimizer": "adam"}, "optimizer must be one of"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"subnet_losses": "max"}, "subnet_losses must be one of"),
        ({"teacher_weight": -1.0}, "teacher_weight must be a number of at least 0"),
        ({"teacher_width": 8}, "go together"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


def test_an_unknown_preset_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="fashion-mnist, own-images, imagenet"):
        preset("cifar")


def test_every_field_can_be_set_by_name():
    words = ["flip=false", "optimizer=sgd", "epochs=3", "views = 4", 'precision="bfloat16"']
    assert settings(words) == {
        "flip": False,
        "optimizer": "sgd",
        "epochs": 3.0,
        "views": 4,
        "precision": "bfloat16",
    }
    for name, value in asdict(preset("imagenet")).items():
        assert settings([f"{name}={json.dumps(value)}"]) == {name: value}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("flip", "expected NAME=VALUE, as in flip=false, got 'flip'"),
        ("flop=true", "a recipe has no 'flop'; the nearest is 'flip'"),
        ("flip=1", "flip must be true or false, got 1"),
        ("batch_size=32.5", "batch_size must be a whole number, got 32.5"),
        ("batch_size=true", "batch_size must be a whole number, got True"),
        ("epochs=many", "epochs must be a number, got 'many'"),
        ("optimizer=3", "optimizer must be a word, got 3"),
        (f"epochs=1{'0' * 400}", "epochs must be a finite number, got 1000.*"),
    ],
)
def test_a_setting_that_is_none_is_told(pair, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        settings([pair])


def test_a_recipe_comes_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("flip = false\nepochs = 3\n", encoding="utf-8-sig")
    assert preset(str(path), seed=2) == TrainConfig(flip=False, epochs=3.0, seed=2)
    for text, message in (
        ("flop = 1", "mine.toml: a recipe has no 'flop'"),
        ("epochs = -1", "mine.toml: epochs must be a positive number"),
        ("epochs", "mine.toml is not a readable recipe"),
        (f"epochs = {'[' * 50_000}", "mine.toml is not a readable recipe: it is nested too deeply"),
        (f"{'a.' * 50_000}a = 1", "mine.toml is not a readable recipe: it has more than"),
        ("[a]", "mine.toml: a recipe has no 'a'"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            preset(str(path))
    with pytest.raises(ValueError, match=r"cannot read recipe .*none\.toml: No such file"):
        preset(str(tmp_path / "none.toml"))
