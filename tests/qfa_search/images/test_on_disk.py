from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import qfa_search
from qfa_search.errors import DataError
from qfa_search.images.on_disk import MEAN, STD, FolderData, _random_box
from qfa_search.images.splits import FolderSplit, split_folder
from qfa_search.measuring.shared_passes import score_together
from qfa_search.supernet.mobilenet_v3 import Supernet
from tests.qfa_search.published.published_release import write_images


def _data(folder):
    return FolderData(split_folder(folder, 0))


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path, n_classes=12, per_class=6)


def test_evaluation_images_are_the_centre_of_the_resized_image(folder):
    images = _data(folder).images("test")
    batch, labels = next(images.batches(28, 4))
    assert batch.shape == (4, 3, 28, 28)
    assert labels.tolist() == [0, 1, 2, 3]
    with Image.open(folder / images.names[0]) as file:
        width, height = file.size
        short = min(width, height)  # the shorter side goes to ceil(28 / 0.875) = 32
        size = (int(32 * width / short), int(32 * height / short))
        resized = np.asarray(file.resize(size, Image.Resampling.BILINEAR))
    top, left = round((size[1] - 28) / 2), round((size[0] - 28) / 2)
    centre = resized[top : top + 28, left : left + 28].transpose(2, 0, 1) / 255
    pixels = batch[0] * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    np.testing.assert_allclose(pixels.numpy(), centre, atol=1e-5)


def test_training_images_are_random_crops_that_repeat(folder):
    train = _data(folder).images("train")
    first, again = (torch.cat([b for b, _ in train.batches(16, 7)]) for _ in range(2))
    assert first.shape == (len(train), 3, 16, 16)
    assert torch.equal(first, again)
    other = torch.cat([b for b, _ in replace(train, crop_seed=1).batches(16, 7)])
    assert not torch.equal(first, other)


def test_several_resolutions_and_decoders_give_what_one_gives(folder):
    images = _data(folder).images("val")
    together = list(images.batches_at([12, 16], 4, threads=3))
    for resolution in (12, 16):
        alone = list(images.batches(resolution, 4))
        assert len(alone) == len(together) == -(-len(images) // 4)
        for (mine, labels), (ours, our_labels) in zip(alone, together, strict=True):
            assert torch.equal(mine, ours[resolution])
            assert torch.equal(labels, our_labels)


def test_a_broken_image_is_left_out_and_told_of(folder, caplog):
    broken = folder / "val" / "n00000003" / "0.JPEG"
    broken.unlink()
    broken.write_bytes(b"no image")
    images = _data(folder).images("test")
    labels = [labels.tolist() for _, labels in images.batches(16, 4)]
    assert labels == [[0, 1, 2], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert list(images.batches(16, 4))
    (told,) = [m for m in caplog.messages if "cannot be read" in m]
    assert "n00000003/0.JPEG" in told


def test_many_broken_images_end_it(folder):
    for path in sorted((folder / "val").glob("n0000000[1-4]/0.JPEG")):
        path.unlink()
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="4 of 12 images cannot be read"):
        list(_data(folder).images("test").batches(16, 4))


def test_a_class_that_train_lacks_is_named(folder):
    (folder / "val" / "zebra").mkdir()
    with pytest.raises(DataError, match="zebra"):
        _data(folder)


def test_images_are_upright_and_on_white_unless_the_recipe_is_the_published_one(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # bright on the left; rotated by 90 degrees it is on top
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a" / "turned.jpg", exif=exif)
    Image.new("RGBA", (32, 32)).save(tmp_path / "b" / "clear.png")
    split = FolderSplit(
        tmp_path,
        ("a", "b"),
        {"train": (), "val": ("a/turned.jpg", "b/clear.png"), "test": ()},
        {"train": np.array([], int), "val": np.array([0, 1]), "test": np.array([], int)},
    )
    own, published = (
        next(FolderData(split, is_published=is_published).images("val").batches(16, 2))[0]
        for is_published in (False, True)
    )
    assert own[0, 0, 0].mean() > 2 > -1.5 > own[0, 0, -1].mean()
    assert published[0, 0, :, 0].mean() > 2 > -1.5 > published[0, 0, :, -1].mean()
    assert own[1].mean() > 2 > -1.5 > published[1].mean()


def test_subnets_scored_together_score_as_alone(folder, toy_space):
    space = replace(toy_space, input_channels=3, n_classes=12)
    torch.manual_seed(0)
    supernet = Supernet(space)
    rng = np.random.default_rng(0)
    subnets = [space.smallest(), space.largest(), space.sample(rng)]
    data = _data(folder)
    train, held_out = data.images("train").drawn(20), data.images("val")
    found = score_together(
        supernet, subnets, train, held_out, n_batches=2, batch_size=8, device="cpu"
    )
    for subnet, together in zip(subnets, found, strict=True):
        network = qfa_search.extract(supernet, subnet)
        qfa_search.recalibrate(network, train.batches(subnet.resolution, 8), 2)
        alone = qfa_search.evaluate(network, held_out.batches(subnet.resolution, 64))
        assert together.top1 == alone.top1
        assert together.cross_entropy == pytest.approx(alone.cross_entropy, rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_scores_about_what_the_cpu_scores(folder, toy_space):
    space = replace(toy_space, input_channels=3, n_classes=12)
    torch.manual_seed(0)
    supernet = Supernet(space)
    data = _data(folder)
    cpu, gpu = (
        score_together(
            supernet,
            [space.largest()],
            data.images("train"),
            data.images("val"),
            n_batches=2,
            batch_size=8,
            device=device,
        )[0]
        for device in ("cpu", "cuda")
    )
    assert gpu.cross_entropy == pytest.approx(cpu.cross_entropy, rel=0.05)


def test_crops_are_mirrored_and_cut_as_the_recipe_says(folder):
    train = replace(_data(folder).images("train"), crop_seed=None)
    whole = torch.cat([b for b, _ in train.batches(16, 7)])
    squares = train.with_crops(0, least_area=1.0, flips=False)
    mirrored = train.with_crops(0, least_area=1.0, flips=True)
    plain, some = (
        torch.cat([b for b, _ in images.batches(16, 7)]) for images in (squares, mirrored)
    )
    is_same = (plain == some).flatten(1).all(1)
    assert torch.equal(some[~is_same], plain[~is_same].flip(-1))
    assert 0 < int(is_same.sum()) < len(train)
    assert whole.shape == plain.shape


def test_a_batch_of_one_broken_image_is_left_out(folder):
    last = folder / "val" / "n00000011" / "0.JPEG"
    last.unlink()  # it is one file with others
    last.write_bytes(b"no image")
    images = _data(folder).images("test")
    assert sum(len(labels) for _, labels in images.batches(16, 11)) == 11


def test_all_of_an_image_is_its_centre_square():
    rng = np.random.default_rng(0)
    assert _random_box(rng, height=40, width=50, least_area=1.0) == (0, 5, 40, 40)


@pytest.mark.parametrize("least_area", [0.08, 0.6])
def test_no_crop_is_smaller_than_it_may_be(least_area):
    boxes = [
        _random_box(np.random.default_rng(i), height=40, width=50, least_area=least_area)
        for i in range(50)
    ]
    areas = [h * w / 2000 for _, _, h, w in boxes]
    assert min(areas) >= 0.95 * least_area
    assert (min(areas) < 0.3) == (least_area < 0.3)
