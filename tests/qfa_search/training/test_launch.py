import os
import signal
import time
from functools import partial

import pytest

from qfa_search.errors import DataError, QFAError
from qfa_search.training.launch import run_together
from tests.training_commands import TINY, finish, start, train_command


def _fail(error):
    raise error


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
def test_one_two_and_three_processes_train_the_same_file(tmp_path, image_folder, toy_space_file):
    options = (*TINY, "--mixed-epochs", "0", "--teacher-epochs", "1")
    files = []
    for n in (1, 2, 3):  # three share two parts by subnets
        arguments = train_command(image_folder, toy_space_file, tmp_path / str(n), *options)
        code, out, errors = finish(start([*arguments, "--processes", str(n)]))
        assert code == 0, errors
        assert errors == ""
        assert f"qfa-search sample --supernet {tmp_path / str(n)} --data {image_folder}" in out
        files.append((tmp_path / str(n) / "supernet.safetensors").read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.slow
def test_processes_of_torchrun_train_what_one_trains(tmp_path, image_folder, toy_space_file):
    by = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    arguments = train_command(image_folder, toy_space_file, tmp_path / "two", *TINY)
    code, out, errors = finish(start(arguments, by=by))
    assert code == 0, errors
    assert out.count("written: ") == 1
    arguments = train_command(image_folder, toy_space_file, tmp_path / "one", *TINY)
    assert finish(start([*arguments, "--processes", "1"]))[0] == 0
    one, two = (tmp_path / name / "supernet.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


DIES_IN_THE_SEVENTH_STEP = """
import os, signal
import qfa_search.training.phase as phase

phase.CHECKPOINT_SECONDS = 0
update, steps = phase._update, []

def dying(*arguments):
    steps.append(1)
    if os.environ["RANK"] == "1" and len(steps) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return update(*arguments)

phase._update = dying
from qfa_search.cli import main
main()
"""


@pytest.mark.slow
def test_a_training_that_lost_a_rank_twice_ends_with_the_same_file(
    tmp_path, image_folder, toy_space_file, monkeypatch
):
    # Else torchrun's processes meet where those of the last try left their addresses.
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    script = tmp_path / "dying.py"
    script.write_text(DIES_IN_THE_SEVENTH_STEP)
    run = tmp_path / "run"
    arguments = [*train_command(image_folder, toy_space_file, run, *TINY), "--resume"]
    by = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1")
    code, _, errors = finish(start(arguments, by=by, script=script))
    assert code == 1
    # Six steps, then six more after torchrun had started all again: ten are of the float phase.
    assert (run / "quantized.ckpt").is_file(), errors
    assert not (run / "supernet.safetensors").exists()
    code, _, errors = finish(start([*arguments, "--processes", "1"]))
    assert code == 0, errors
    arguments = train_command(image_folder, toy_space_file, tmp_path / "unbroken", *TINY)
    assert finish(start([*arguments, "--processes", "1"]))[0] == 0
    lost, unbroken = (tmp_path / name / "supernet.safetensors" for name in ("run", "unbroken"))
    assert lost.read_bytes() == unbroken.read_bytes()


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
