import shutil

import numpy as np
import pytest
from PIL import Image

from qfa_search.errors import CheckpointMismatchError, DataError
from qfa_search.images.layout import SPLIT_NAMES
from qfa_search.images.sources import open_data
from qfa_search.images.split_file import read_split, write_split
from qfa_search.images.splits import KnownImages, split_folder


def _folder(root, counts, first=0):
    """Different images in each class; `first` tells folders apart."""
    for k, (name, n) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (8, 8), (i % 256, k, first)).save(root / name / f"{i:03d}.png")
    return root


def _sizes(split):
    return [len(split.names[part]) for part in SPLIT_NAMES]


def test_class_folders_alone_are_split_in_three(tmp_path):
    split = split_folder(_folder(tmp_path, {"a": 60, "b": 60, "c": 120}), 0)
    assert split.classes == ("a", "b", "c")
    assert _sizes(split) == [198, 18, 24]
    assert len({name for part in SPLIT_NAMES for name in split.names[part]}) == 240
    assert np.bincount(split.labels["test"]).tolist() == [6, 6, 12]


def test_a_train_folder_alone_is_split_in_three(tmp_path):
    _folder(tmp_path / "train", {"a": 60, "b": 60})
    split = split_folder(tmp_path, 0)
    assert _sizes(split) == [99, 9, 12]
    assert all(name.startswith("train/") for name in split.names["test"])


def test_a_val_folder_is_the_test_split(image_folder):
    split = split_folder(image_folder, 0)
    assert _sizes(split) == [110, 10, 24]
    assert all(name.startswith("val/") for name in split.names["test"])


def test_beside_a_test_folder_a_val_folder_validates(tmp_path):
    for part, n in (("train", 6), ("test", 2)):
        _folder(tmp_path / part, {"a": n, "b": n})
    split = split_folder(tmp_path, 0)
    assert [len(split.names[part]) for part in SPLIT_NAMES] == [10, 2, 4]
    assert {name.split("/")[0] for name in split.names["val"]} == {"train"}
    _folder(tmp_path / "val", {"a": 3, "b": 3})
    split = split_folder(tmp_path, 0)
    assert [len(split.names[part]) for part in SPLIT_NAMES] == [12, 6, 4]
    assert {name.split("/")[0] for name in split.names["val"]} == {"val"}


def test_a_class_may_be_called_train(tmp_path):
    split = split_folder(_folder(tmp_path, {"train": 20, "bus": 20}), 0)
    assert split.classes == ("bus", "train")


def test_hidden_files_and_folders_are_no_images(tmp_path):
    _folder(tmp_path, {"a": 10, "b": 10})
    (tmp_path / ".cache").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    for name in (".DS_Store", "._000.png", "notes.txt"):
        (tmp_path / "a" / name).write_bytes(b"x")
    split = split_folder(tmp_path, 0)
    assert split.classes == ("a", "b")
    assert sum(_sizes(split)) == 20


def test_images_in_folders_of_a_class_folder_belong_to_it(tmp_path):
    _folder(tmp_path, {"a": 10, "b/deep/er": 10})
    split = split_folder(tmp_path, 0)
    assert split.classes == ("a", "b")
    assert sum(_sizes(split)) == 20


def test_small_classes_leave_room_for_every_class(tmp_path):
    split = split_folder(_folder(tmp_path, {name: 3 for name in "abcdefgh"}), 0)
    assert _sizes(split) == [8, 8, 8]
    for part in SPLIT_NAMES:
        assert split.labels[part].tolist() == list(range(8))


def test_a_class_without_images_and_one_with_few_are_named(tmp_path):
    _folder(tmp_path, {"a": 10, "b": 2})
    with pytest.raises(DataError, match=r"b has 2 of them, .* at least 3 images"):
        split_folder(tmp_path, 0)
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match=r"c has no images.*add images or remove the folder"):
        split_folder(tmp_path, 0)


def test_a_foreign_class_in_val_is_named(tmp_path, image_folder):
    shutil.copytree(image_folder, tmp_path / "d")
    (tmp_path / "d" / "val" / "zebra").mkdir()
    with pytest.raises(DataError, match="zebra"):
        split_folder(tmp_path / "d", 0)


@pytest.mark.parametrize("layout", ["flat", "train", "both"])
def test_a_stored_split_reads_back_and_ignores_new_images(tmp_path, layout):
    root = tmp_path / "images"
    _folder(root if layout == "flat" else root / "train", {"a": 30, "b": 30})
    if layout == "both":
        _folder(root / "val", {"a": 3, "b": 3})
    split = split_folder(root, 0)
    path = tmp_path / "split.csv"
    write_split(path, split)
    assert path.read_text().splitlines()[0] == "path,split"
    new = root / split.names["train"][0]
    shutil.copy(new, new.with_name("new.png"))
    again = read_split(path, root)
    assert again.names == split.names
    assert (again.digest, again.files_digest) == (split.digest, split.files_digest)
    assert split_folder(root, 0).files_digest != split.files_digest
    new.unlink()
    with pytest.raises(CheckpointMismatchError, match="1 of its"):
        read_split(path, root)


def test_an_odd_file_name_survives(tmp_path):
    root = _folder(tmp_path / "i", {'a, "quoted"': 10, "b ü": 10, "c\r": 10, "d\n": 10})
    split = split_folder(root, 0)
    write_split(tmp_path / "split.csv", split)
    assert read_split(tmp_path / "split.csv", root).names == split.names


def test_a_start_that_has_seen_every_image_is_refused(tmp_path):
    root = _folder(tmp_path / "i", {"a": 10, "b": 10})
    digests = split_folder(root, 0).digests
    seen = KnownImages(by_digest={d: "train" for part in digests.values() for d in part})
    with pytest.raises(DataError, match="is left for the val split: the training to start from"):
        split_folder(root, 0, known=seen)


@pytest.mark.parametrize("text", ["", "x\n1\n", "path,split\n000.png,train\n"])
def test_a_foreign_split_file_is_refused(tmp_path, text):
    root = _folder(tmp_path / "i", {"a": 10, "b": 10})
    (root / "000.png").touch()
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises((ValueError, DataError), match="split"):
        read_split(tmp_path / "split.csv", root)


def test_digests_of_earlier_supernets_stay(image_folder):
    data = open_data(str(image_folder), channels=1, resolution=16)
    assert data.split_digest == "e0364a514556807d"
