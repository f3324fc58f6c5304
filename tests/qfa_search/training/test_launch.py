import os
import signal
import time
from functools import partial

import numpy as np
import pytest

from predictors.files import load_tensors
from qfa_search.errors import DataError, QFAError
from qfa_search.training.launch import default_processes, run_together
from tests.training_commands import TINY, finish, start, train_command


def _fail(error):
    raise error


def _tensors(out):
    return load_tensors(out / "supernet.safetensors", "supernet")[0]


def _difference(a, b):
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


def test_processes_divide_the_parts(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for cores, parts, expected in ((2, 2, 2), (4, 6, 3), (8, 1, 1), (1, 32, 1), (16, 32, 16)):
        monkeypatch.setattr("joblib.cpu_count", lambda n=cores: n)
        assert default_processes(parts) == expected


@pytest.mark.slow
def test_an_error_of_all_processes_is_raised_once():
    with pytest.raises(QFAError, match=r"^no such images$"):
        run_together(partial(_fail, DataError("no such images")), 2)


@pytest.mark.slow
def test_a_process_that_was_killed_is_told():
    with pytest.raises(QFAError, match="was killed"):
        run_together(_kill_the_second, 2)


def _kill_the_second():
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path, image_folder, toy_space_file):
    for name, n in (("one", "1"), ("two", "2")):
        arguments = train_command(image_folder, toy_space_file, tmp_path / name, *TINY)
        code, out, errors = finish(start([*arguments, "--processes", n]))
        assert code == 0, errors
        assert errors == ""
        assert f"qfa-search sample --supernet {tmp_path / name} --data {image_folder}" in out
    assert _difference(_tensors(tmp_path / "one"), _tensors(tmp_path / "two")) < 1e-5


@pytest.mark.slow
def test_processes_of_torchrun_train_what_one_trains(tmp_path, image_folder, toy_space_file):
    by = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    arguments = train_command(image_folder, toy_space_file, tmp_path / "two", *TINY)
    code, out, errors = finish(start(arguments, by=by))
    assert code == 0, errors
    assert out.count("written: ") == 1
    arguments = train_command(image_folder, toy_space_file, tmp_path / "one", *TINY)
    assert finish(start([*arguments, "--processes", "1"]))[0] == 0
    assert _difference(_tensors(tmp_path / "one"), _tensors(tmp_path / "two")) < 1e-5


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_ends_all_processes_in_one_line(
    tmp_path, image_folder, toy_space_file
):
    arguments = train_command(image_folder, toy_space_file, tmp_path / "run", *TINY)
    code, _, errors = finish(start([*arguments, "--processes", "2", "--learning-rate", "1e30"]))
    assert code == 1
    assert errors.startswith("error: the loss is not a number")
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_processes_that_are_told_to_end_save_and_go_on(
    tmp_path, image_folder, toy_space_file, number
):
    run = tmp_path / "run"
    options = (*TINY, "--processes", "2", "--epochs", "3000")
    process = start(train_command(image_folder, toy_space_file, run, *options))
    while process.poll() is None and not (run / "float.ckpt").is_file():
        time.sleep(0.1)
    time.sleep(2)
    process.send_signal(number)
    code, _, errors = finish(process)
    assert code == 130
    assert "--resume goes on" in errors
    assert len(errors.splitlines()) == 1
    assert (run / "quantized.ckpt").is_file()
