import hashlib
import pickle

import numpy as np
import pytest
from torchvision import datasets

from qfa_search.errors import DataError
from qfa_search.images import published_set
from qfa_search.images.cifar10 import CLASSES, FOLDER, read_cifar10
from qfa_search.images.sources import open_data


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A small release with checksums of its own, where torchvision puts it."""
    rng = np.random.default_rng(0)
    place = tmp_path / "qfa-search" / FOLDER
    place.mkdir(parents=True)
    sums = {}
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        pixels = rng.integers(0, 256, (40, 3072)).astype(np.uint8)
        content = pickle.dumps({"data": pixels, "labels": [i % 10 for i in range(40)]})
        (place / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    meta = pickle.dumps({"label_names": list(CLASSES)})
    (place / "batches.meta").write_bytes(meta)
    published = datasets.CIFAR10
    monkeypatch.setattr(published, "train_list", [[n, sums[n]] for n in names[:5]])
    monkeypatch.setattr(published, "test_list", [["test_batch", sums["test_batch"]]])
    about = {**published.meta, "md5": hashlib.md5(meta).hexdigest()}
    monkeypatch.setattr(published, "meta", about)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    published_set._read.cache_clear()
    published_set._split.cache_clear()
    yield place
    published_set._read.cache_clear()
    published_set._split.cache_clear()


def test_images_are_sorted_by_class_and_split_as_a_folder_of_them_is(release):
    data = open_data("cifar10", channels=3, resolution=32)
    labels = read_cifar10("train")[1]
    assert labels.tolist() == sorted(labels)
    assert data.classes == CLASSES
    train, val = data.images("train"), data.images("val")
    assert (len(train), len(val), len(data.images("test"))) == (184, 16, 40)
    assert train.pixels.shape == (184, 3, 32, 32)
    assert set(val.labels.tolist()) == set(range(10))
    assert "train 184, val 16 (held out of train), test 40" in data.told
    assert data.digest == open_data("cifar10", channels=3, resolution=32).digest


def test_a_file_with_another_checksum_is_fetched_again_and_never_unpickled(release, monkeypatch):
    whole = (release / "data_batch_1").read_bytes()
    (release / "data_batch_1").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")

    def no_network(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    with pytest.raises(DataError, match=r"is damaged \(no network"):
        read_cifar10("train")

    def fetch(*arguments, **options):
        (release / "data_batch_1").write_bytes(whole)

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fetch)
    assert len(read_cifar10("train")[1]) == 200
