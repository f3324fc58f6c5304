"""What a training says of its space before it starts."""

import shutil
from pathlib import Path

import pytest

from qfa_search.commands.train_report import print_result, space_in_words
from search_spaces import fitted, load


@pytest.mark.parametrize(
    ("w_bits", "a_bits", "words"),
    [
        ((2, 3, 4), (2, 3, 4), "weights and activations of 2, 3, 4 bits,"),
        ((2, 4, 8), (8,), "weights of 2, 4, 8 bits, activations of 8 bits,"),
        (tuple(range(1, 9)), (4, 6, 8), "weights of 1, 2, 3, 4, 5, 6, 7, 8 bits, activations of"),
    ],
)
def test_the_bits_of_both_sides_are_told_in_lines_for_a_narrow_terminal(w_bits, a_bits, words):
    space = fitted(
        image_size=32, channels=1, n_classes=5, w_bit_choices=w_bits, a_bit_choices=a_bits
    )
    lines = space_in_words(space).split("\n")
    assert sum(line.startswith(words) and line.endswith("bits,") for line in lines) == 1
    assert max(map(len, lines)) <= 80


def test_a_space_without_bits_is_in_floating_point():
    assert "\nfloating point,\n" in space_in_words(load("fashion-mnist").in_floating_point())


def test_training_on_is_proposed_where_there_is_a_teacher_to_go_on_with(
    toy_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("qfa_search.training.gaps.below_teacher", lambda scores: 5.0)
    path = shutil.copy(toy_run / "supernet.safetensors", tmp_path)
    print_result(Path(path), "photos", as_json=False)
    assert "--continue" not in capsys.readouterr().out
    (tmp_path / "teacher.safetensors").touch()
    print_result(Path(path), "photos", as_json=False)
    assert f"--init {tmp_path} --out {tmp_path}-2" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cifar10", "none"])
def test_a_folder_that_is_called_as_something_else_is_named_as_a_folder(
    toy_run, tmp_path, monkeypatch, capsys, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    shutil.copy(toy_run / "supernet.safetensors", tmp_path / name)
    print_result(Path(name) / "supernet.safetensors", "photos", as_json=False)
    assert f"qfa-search --supernet ./{name} --max-mflops" in capsys.readouterr().out
