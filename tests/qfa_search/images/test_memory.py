import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from predictors.files import read_metadata
from qfa_search.errors import DataError
from qfa_search.images import fashion_mnist
from qfa_search.images.fashion_mnist import DEBIAN_FOLDER
from qfa_search.images.memory import Images, resize
from qfa_search.images.sources import open_data
from qfa_search.supernet.files import resolve_supernet


def _open(folder):
    return open_data(str(folder), channels=1, resolution=16)


def test_splits_are_disjoint_and_cover_the_training_images(image_folder):
    data = _open(image_folder)
    train, held_out = data.images("train"), data.images("val")
    assert (len(train), len(held_out), len(data.images("test"))) == (110, 10, 24)
    rows = torch.cat([train.pixels, held_out.pixels]).flatten(1).numpy()
    assert len(np.unique(rows, axis=0)) == 120
    assert set(held_out.labels.tolist()) == {0, 1, 2, 3}


def test_the_split_depends_on_its_seed_alone(image_folder):
    same = open_data(str(image_folder), channels=1, resolution=16).split_digest
    other = open_data(str(image_folder), channels=1, resolution=16, split_seed=1).split_digest
    assert _open(image_folder).split_digest == same != other


def test_images_are_brought_to_size_and_mode(image_folder):
    data = open_data(str(image_folder), channels=3, resolution=12)
    assert data.images("val").pixels.shape == (10, 3, 12, 12)


def test_size_and_colour_are_those_of_the_images_by_default(image_folder):
    data = open_data(image_folder)
    assert data.images("val").pixels.shape == (10, 1, 16, 16)


def test_batches_are_normalized_resized_and_complete():
    pixels = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 8, 8) * 50
    images = Images(pixels, torch.arange(5), mean=(0.5,), std=(0.25,))
    batches = list(images.batches(4, 2))
    assert [x.shape for x, _ in batches] == [(2, 1, 4, 4), (2, 1, 4, 4), (1, 1, 4, 4)]
    assert torch.cat([y for _, y in batches]).tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(batches[2][0][0, 0, 0, 0], torch.tensor((200 / 255 - 0.5) / 0.25))


def test_resizing_to_the_same_size_changes_nothing():
    x = torch.randn(1, 1, 8, 8)
    assert resize(x, 8) is x


def test_a_folder_without_class_folders_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="0 class folders, expected at least two"):
        _open(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="class folders"):
        _open(tmp_path / "nowhere")


def test_an_unreadable_image_is_left_out_and_the_split_stays(tmp_path, image_folder, caplog):
    shutil.copytree(image_folder, tmp_path / "d")
    whole = _open(tmp_path / "d")
    name = whole.split.names["train"][40]
    broken = tmp_path / "d" / name
    broken.write_bytes(broken.read_bytes()[:60])
    data = _open(tmp_path / "d")
    assert len(data.images("train")) == 109
    assert f"1 of 110 images cannot be read and are left out, the first: {broken}" in caplog.text
    assert data.split_digest == whole.split_digest
    assert torch.equal(data.images("val").pixels, whole.images("val").pixels)


def test_a_class_without_readable_training_images_is_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("L", (4, 4), ord(name) + 10 * i).save(tmp_path / name / f"{i}.png")
    data = _open(tmp_path)
    for name in data.split.names["train"]:
        if name.startswith("b/"):
            (tmp_path / name).write_bytes(b"junk")
    with pytest.raises(DataError, match="no training image of the class b"):
        data.images("train")


def test_drawn_images_are_those_drawn_from_all(image_folder):
    data = _open(image_folder)
    drawn, all_images = data.drawn("train", 20), data.images("train")
    assert torch.equal(drawn.pixels, all_images.drawn(20).pixels)
    assert torch.equal(drawn.labels, all_images.drawn(20).labels)


def test_fashion_mnist_is_grey(image_folder):
    with pytest.raises(DataError, match="grey"):
        open_data("fashion-mnist", channels=3, resolution=28)


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_has_its_published_sizes():
    data = open_data("fashion-mnist", channels=1, resolution=28)
    assert len(data.images("train")) == 55_000
    assert data.images("val").labels.bincount().tolist() == [500] * 10
    assert len(data.images("test")) == 10_000
    assert (
        data.split_digest
        == read_metadata(resolve_supernet("fashion-mnist").weights, "supernet")["split"]["digest"]
    )


def test_a_download_of_fashion_mnist_that_was_killed_is_begun_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    raw = fashion_mnist.cache_folder() / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").touch()

    def no_network(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.FashionMNIST", no_network)
    with pytest.raises(DataError, match="the download failed"):
        fashion_mnist.read_fashion_mnist("test")
    for name in fashion_mnist.FILES:
        (raw / name).touch()
    with pytest.raises(DataError, match=r"without the folder .* all is downloaded anew"):
        fashion_mnist.read_fashion_mnist("test")
