"""A supernet and its images: the same images, as they are or changed."""

import shutil

import pytest
from PIL import Image

from predictors.files import save_tensors
from qfa_search.errors import CheckpointMismatchError, DataError
from qfa_search.images import decoding, same_images, sources
from qfa_search.images.digests import DIGESTS_FILE
from qfa_search.images.on_disk import FolderData
from qfa_search.images.sources import (
    class_names,
    data_for,
    data_metadata,
    list_images,
    open_as_trained,
)
from qfa_search.images.split_file import SPLIT_FILE, read_split, write_split
from search_spaces import fitted

SPACE = fitted(image_size=16, channels=3, n_classes=3)


def _photos(root, n=20, first=0):
    for k, name in enumerate(("zebra", "ant", "mole")):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(first, first + n):
            Image.new("RGB", (16, 16), (i, k, 50)).save(root / name / f"{i:03d}.png")
    return root


@pytest.fixture
def run(tmp_path):
    """Images, and the supernet file of a training on them, with its split beside it."""
    root, weights = _photos(tmp_path / "photos"), tmp_path / "run" / "supernet.safetensors"
    data = data_for(list_images(str(root)), SPACE)
    write_split(weights.with_name(SPLIT_FILE), data.split)
    metadata = data_metadata(str(root), data)
    save_tensors(weights, "supernet", {}, metadata)
    return root, weights, metadata


def _open(run, part="val"):
    root, weights, metadata = run
    return open_as_trained(str(root), SPACE, weights, metadata).images(part)


def test_the_supernet_knows_its_classes_in_the_order_of_its_outputs(run):
    assert run[2]["classes"] == ["ant", "mole", "zebra"]
    assert class_names(run[2]) == ("ant", "mole", "zebra")
    assert class_names({"data": "fashion-mnist", "split": {"seed": 0}})[9] == "ankle boot"
    assert class_names({"data": "cifar10", "split": {"seed": 0, "files": "1"}}) is None


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (["ant", "mole", "zebra", "cat"], "names 4 classes, .* has 3"),
        (["ant", "mole"], "names 2 classes"),
        (["ant", "zebra", "mole"], "has the class mole in the place of zebra"),
    ],
)
def test_a_supernet_of_other_classes_is_refused(run, classes, told):
    root, weights, metadata = run
    with pytest.raises(CheckpointMismatchError, match=told):
        _open((root, weights, {**metadata, "classes": classes}))


@pytest.mark.parametrize("beside", ["everything", "no digests", "no split"])
def test_the_same_images_are_opened_and_changed_ones_refused(run, beside):
    root, weights, _ = run
    if beside != "everything":
        weights.with_name(DIGESTS_FILE).unlink()
    if beside == "no split":
        weights.with_name(SPLIT_FILE).unlink()
    assert len(_open(run)) == 4
    (root / "ant").rename(root / "x")
    (root / "zebra").rename(root / "ant")
    (root / "x").rename(root / "zebra")
    with pytest.raises(CheckpointMismatchError, match="another content under the same name"):
        _open(run)


def test_one_changed_image_is_named(run):
    root, weights, _ = run
    name = read_split(weights.with_name(SPLIT_FILE), root).names["test"][0]
    Image.new("RGB", (16, 16), (200, 200, 200)).save(root / name)
    with pytest.raises(CheckpointMismatchError, match=f"1 of 60 images .* the first: {name}"):
        _open(run)


def test_a_split_with_other_line_ends_is_the_same(run):
    root, weights, _ = run
    stored = weights.with_name(SPLIT_FILE)
    stored.write_bytes(stored.read_bytes().replace(b"\n", b"\r\n"))
    _photos(root, n=5, first=100)
    assert len(_open(run)) == 4


def test_images_that_were_added_are_ignored_and_removed_ones_missed(run):
    root, weights, _ = run
    _photos(root, n=5, first=100)
    assert len(_open(run)) == 4
    next((root / "ant").iterdir()).unlink()
    with pytest.raises(CheckpointMismatchError, match="1 of its 60 images are not there"):
        _open(run)
    weights.with_name(SPLIT_FILE).unlink()
    with pytest.raises(CheckpointMismatchError, match="is not what"):
        _open(run)


def test_a_supernet_of_an_earlier_version_is_opened_with_a_word(run, caplog):
    del run[2]["data_digest"], run[2]["classes"]
    run[1].with_name(DIGESTS_FILE).unlink()
    assert len(_open(run)) == 4
    assert "the names in" in caplog.text
    run[1].with_name(SPLIT_FILE).unlink()
    assert len(_open(run)) == 4


def test_what_memory_cannot_hold_stays_on_disk_and_is_checked_too(run, monkeypatch):
    root, weights, _ = run
    monkeypatch.setattr(decoding, "LARGEST_SET_IN_MEMORY", 1000)
    data = data_for(list_images(str(root)), SPACE)
    assert isinstance(data, FolderData)
    metadata = data_metadata(str(root), data)
    assert metadata["preprocessing"] == "imagenet"
    monkeypatch.setattr(same_images, "READ_WHOLE", 0)  # as if there were many
    metadata["recipe"] = {"crop_share": 0.5, "flip": False}
    data = open_as_trained(str(root), SPACE, weights, metadata)
    assert isinstance(data, FolderData)
    train = data.images("train")
    assert (train.least_area, train.flips) == (0.5, False)
    assert sum(len(labels) for _, labels in data.images("val").batches(16, 3)) == 4
    changed = root / data.split.names["val"][1]
    Image.new("RGB", (16, 16), (200, 200, 200)).save(changed)
    with pytest.raises(CheckpointMismatchError, match="1 of 4 images"):
        list(data.images("val").batches(16, 3))


def test_images_of_the_start_keep_their_split_when_the_folder_grew(run, tmp_path):
    root, weights, _ = run
    before = read_split(weights.with_name(SPLIT_FILE), root)
    assert list_images(str(root), starts=[weights]).names == before.names
    _photos(root, n=30, first=100)
    for part in ("train", "val"):
        name = before.names[part][0]
        shutil.copy(root / name, root / name.replace("/", f"/a-{part}-copy-"))
    split = list_images(str(root), starts=[weights])
    for part, names in before.names.items():
        assert set(names) < set(split.names[part])
    copies = [name for name in split.names["train"] if "-train-copy-" in name]
    assert len(copies) == 1
    assert len([name for name in split.names["val"] if "-val-copy-" in name]) == 1
    assert split.labels["test"].tolist() != before.labels["test"].tolist()
    assert sum(map(len, split.names.values())) == 60 + 90 + 2


def test_images_of_the_trainings_before_the_start_are_known_too(run, tmp_path):
    root, weights, _ = run
    second = tmp_path / "second" / "supernet.safetensors"
    data = data_for(list_images(str(_photos(tmp_path / "b", first=100)), starts=[weights]), SPACE)
    write_split(second.with_name(SPLIT_FILE), data.split)
    save_tensors(second, "supernet", {}, data_metadata(str(tmp_path / "b"), data))
    trained = set(read_split(weights.with_name(SPLIT_FILE), root).names["train"])
    grown = _photos(_photos(tmp_path / "c"), first=100)
    found = list_images(str(grown), starts=[second])
    assert trained <= set(found.names["train"])


def test_moved_images_of_the_start_are_known_by_their_content(run, tmp_path):
    root, weights, _ = run
    before = read_split(weights.with_name(SPLIT_FILE), root)
    trained = {(root / name).read_bytes() for name in before.names["train"]}
    moved = tmp_path / "moved"
    shutil.copytree(root, moved / "train")
    for path in sorted(moved.glob("train/*/*.png")):
        path.rename(path.with_name(f"renamed-{path.name}"))
    split = list_images(str(moved), starts=[weights])
    assert {(moved / name).read_bytes() for name in split.names["train"]} == trained


def test_given_splits_that_hold_images_of_the_start_are_told(run, tmp_path, caplog):
    root, weights, _ = run
    _photos(tmp_path / "new" / "train", n=10, first=200)
    shutil.copytree(root, tmp_path / "new" / "test")
    list_images(str(tmp_path / "new"), starts=[weights])
    assert "the given start was trained on 50 of 60 test images" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        {"split": 5},
        {"split": {}},
        {"split": {"seed": "0"}},
        {"split": {"seed": 0, "files": 7}},
        {"classes": 3},
        {"classes": [1, 2, 3]},
        {"data_digest": []},
    ],
)
def test_metadata_of_other_types_are_refused_in_a_line(run, damage):
    root, weights, metadata = run
    with pytest.raises(ValueError, match="does not say how its images were split"):
        _open((root, weights, metadata | damage))
    assert class_names(metadata | damage) is None
    save_tensors(weights, "supernet", {}, metadata | damage)
    list_images(str(root), starts=[weights])


def test_a_start_of_other_classes_is_told(run, caplog):
    (run[0] / "zebra").rename(run[0] / "gnu")
    list_images(str(run[0]), starts=[run[1]])
    assert "has the class mole where these images have gnu" in caplog.text


def test_a_start_without_its_split_is_told(run, caplog):
    run[1].with_name(SPLIT_FILE).unlink()
    list_images(str(run[0]), starts=[run[1]])
    assert "images that it was trained on may be held out" in caplog.text


def test_other_classes_and_channels_are_refused(run):
    listed = list_images(str(run[0]))
    with pytest.raises(DataError, match="has 3 classes"):
        data_for(listed, fitted(image_size=16, channels=3, n_classes=4))
    with pytest.raises(DataError, match="images are grey"):
        data_for(list_images("fashion-mnist"), fitted(image_size=28, channels=3, n_classes=10))


def test_published_sets_are_the_names_that_a_training_knows():
    from qfa_search.training.arguments import PUBLISHED_SETS

    assert set(PUBLISHED_SETS) == set(sources.PUBLISHED_SETS)
