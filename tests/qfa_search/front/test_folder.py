from __future__ import annotations

import subprocess
import sys

import pytest

from predictors.files import locked_folder
from qfa_search.errors import QFAError
from qfa_search.front.folder import remove_states, result_folder, state_name, write_front


def test_a_folder_that_another_process_uses_is_refused(tmp_path):
    out = tmp_path / "out"
    code = (
        "import sys; from pathlib import Path; from qfa_search.front.folder import result_folder\n"
        f"with result_folder(Path({str(out)!r})): print('mine', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "mine\n"
    with pytest.raises(QFAError, match="another command is writing to it"), result_folder(out):
        pass
    other.kill()
    other.communicate()
    with result_folder(out) as folder:  # a killed process keeps no lock
        assert folder == out


def test_a_folder_is_refused_before_the_work_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(QFAError, match="cannot write"), result_folder(out):
            pass
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("")
    with pytest.raises(QFAError, match="cannot write to runs"), result_folder(None):
        pass


def test_new_folders_are_numbered_and_empty_ones_go(tmp_path, monkeypatch, rising_front):
    monkeypatch.chdir(tmp_path)
    with result_folder(None) as folder:
        write_front(rising_front, folder)
    assert folder.name == "search-001"
    with pytest.raises(KeyboardInterrupt), result_folder(None) as second:
        raise KeyboardInterrupt
    assert second.name == "search-002"
    assert not second.exists()
    with pytest.raises(QFAError, match="earlier result"), result_folder(folder):
        pass


def test_a_lock_ends_with_its_block(tmp_path):
    with locked_folder(tmp_path), pytest.raises(BlockingIOError), locked_folder(tmp_path):
        pass
    with locked_folder(tmp_path):
        pass


def test_a_search_can_be_resumed_until_all_of_it_is_written(tmp_path, rising_front):
    (tmp_path / state_name()).write_bytes(b"")
    write_front(rising_front, tmp_path, resume=True)
    with result_folder(tmp_path, resume=True):  # killed before its page was written
        remove_states(tmp_path)
    with pytest.raises(QFAError, match="earlier result"), result_folder(tmp_path, resume=True):
        pass
