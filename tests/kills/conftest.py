"""The commands that write, each in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
from functools import cache

import pytest

from tests.kills.killing import Command, unbroken
from tests.kills.preloaded import run

# Three steps in each of the phases.
SHORT = ("--teacher-epochs", 1, "--float-epochs", 1, "--mixed-epochs", 1, "--epochs", 1)
SHORT = (*SHORT, "--batch-size", 40, "--parts", 1)


@pytest.fixture(scope="session")
def n_kills() -> int:
    """How often to kill each command."""
    return int(os.environ.get("KILLS", "20"))


@pytest.fixture(scope="session")
def sampled_run(toy_run, image_folder, tmp_path_factory):
    """A trained supernet with samples and predictor beside it."""
    folder = tmp_path_factory.mktemp("sampled") / "run"
    shutil.copytree(toy_run, folder)
    for arguments in (["sample", "--data", image_folder, "--n", 12], ["fit"]):
        done = run([*arguments, "--supernet", folder], folder)
        assert done.code == 0, done.output
    return folder


@pytest.fixture(scope="session")
def commands(toy_run, sampled_run, image_folder, toy_space, toy_space_file, tmp_path_factory):
    """What is killed or lacks something, by its name in the summary."""
    data = ("--data", image_folder)
    budget = ("--population", 24, "--generations", 3, "--max-mflops", 0.2, "--resume", "--quiet")
    subnet, other = (tmp_path_factory.mktemp("subnet") / f"{name}.json" for name in "ab")
    subnet.write_text(json.dumps(toy_space.smallest().to_dict()))
    other.write_text(json.dumps(toy_space.largest().to_dict()))

    def copied_run(folder):
        shutil.copytree(sampled_run, folder / "net")

    alone = ("--processes", 1, "--resume", "--quiet", "--space", toy_space_file)
    export = ("export", subnet, "--supernet", toy_run, *data)
    return {
        "train": Command(
            ("train", *data, *alone, *SHORT, "--out", "run"), is_done="exists already"
        ),
        "sample": Command(
            ("sample", "--supernet", toy_run, *data, "--n", 12, "-q", "--out", "samples.sqlite")
        ),
        "search": Command(
            ("--supernet", "net", "--measure", 6, *data, *budget, "--out", "out"),
            prepare=copied_run,
            is_done="holds an earlier result",
        ),
        "evaluate": Command(
            ("evaluate", other, "--supernet", "net", *data, "--quiet"), prepare=copied_run
        ),
        "fit": Command(
            ("fit", "--samples", sampled_run / "samples.sqlite", "--out", "predictor.safetensors"),
            is_done="exists already",
        ),
        "export onnx": Command(
            (*export, "--verify", 8, "--out", "net.onnx"), is_done="exists already"
        ),
        "export c": Command((*export, "--no-verify", "--out", "net.c"), is_done="exists already"),
    }


@pytest.fixture(scope="session")
def whole(commands, tmp_path_factory):
    """What a command does that nothing disturbs, by its name."""
    root = tmp_path_factory.mktemp("whole")
    return cache(lambda name: unbroken(commands[name], root / name.replace(" ", "-")))
