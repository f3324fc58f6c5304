import pytest

from predictors.files import save_tensors
from qfa_search.errors import DataError
from qfa_search.supernet.files import resolve_supernet


def _data(tmp_path, metadata):
    save_tensors(tmp_path / "supernet.safetensors", "supernet", {}, metadata)
    return resolve_supernet(tmp_path).data()


def test_a_supernet_names_its_published_set_or_a_folder_that_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_folder = {"split": {"seed": 0, "files": "1"}}
    assert _data(tmp_path, {"data": "fashion-mnist", "split": {"seed": 0}}) == "fashion-mnist"
    with pytest.raises(DataError, match="say where they are with --data"):
        _data(tmp_path, {"data": "photos", **by_folder})
    (tmp_path / "photos").mkdir()
    assert _data(tmp_path, {"data": "photos", **by_folder}) == "photos"


def test_a_folder_with_the_name_of_a_published_set_is_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained_on_folder = {"data": "cifar10", "split": {"seed": 0, "files": "1"}}
    assert _data(tmp_path, trained_on_folder) == "cifar10"
    (tmp_path / "cifar10").mkdir()
    assert _data(tmp_path, trained_on_folder) == "./cifar10"
