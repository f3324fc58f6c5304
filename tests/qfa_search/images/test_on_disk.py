import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import qfa_search
from qfa_search.errors import CheckpointMismatchError, DataError
from qfa_search.images.on_disk import MEAN, STD, FolderData
from qfa_search.measuring.shared_passes import score_together
from qfa_search.supernet.mobilenet_v3 import Supernet
from tests.qfa_search.published.published_release import write_images


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path, n_classes=12, per_class=6)


def test_evaluation_images_are_the_centre_of_the_resized_image(folder):
    from PIL import Image

    images = FolderData(folder, 0).images("test")
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
    train = FolderData(folder, 0).images("train")
    first, again = (torch.cat([b for b, _ in train.batches(16, 7)]) for _ in range(2))
    assert first.shape == (len(train), 3, 16, 16)
    assert torch.equal(first, again)
    other = torch.cat([b for b, _ in replace(train, crop_seed=1).batches(16, 7)])
    assert not torch.equal(first, other)


def test_several_resolutions_and_decoders_give_what_one_gives(folder):
    images = FolderData(folder, 0).images("val")
    together = list(images.batches_at([12, 16], 4, threads=3))
    for resolution in (12, 16):
        alone = list(images.batches(resolution, 4))
        assert len(alone) == len(together) == -(-len(images) // 4)
        for (mine, labels), (ours, our_labels) in zip(alone, together, strict=True):
            assert torch.equal(mine, ours[resolution])
            assert torch.equal(labels, our_labels)


def test_validation_images_are_held_out_of_train_and_stored(folder, tmp_path):
    path = tmp_path / "split.json"
    data = FolderData(folder, 3, path)
    held_out, kept = set(data.images("val").names), set(data.images("train").names)
    assert len(held_out) == 72 // 12
    assert len(held_out | kept) == 72
    assert set(json.loads(path.read_text())["held_out"]) == held_out
    assert set(FolderData(folder, 4, path).images("val").names) == held_out
    assert set(FolderData(folder, 4).images("val").names) != held_out


def test_other_training_images_than_those_of_the_stored_split_are_refused(folder, tmp_path):
    path = tmp_path / "split.json"
    FolderData(folder, 0, path).images("val")
    next((folder / "train" / "n00000000").iterdir()).unlink()
    with pytest.raises(CheckpointMismatchError, match="not the 72 that"):
        FolderData(folder, 0, path).images("val")


def test_a_folder_without_write_permission_for_the_split_will_do(folder, tmp_path):
    (tmp_path / "file").write_text("")
    data = FolderData(folder, 0, tmp_path / "file" / "split.json")
    assert len(data.images("val")) == 6


def test_a_broken_image_is_named(folder):
    broken = folder / "val" / "n00000003" / "0.JPEG"
    broken.unlink()
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"n00000003/0\.JPEG"):
        list(FolderData(folder, 0).images("test").batches(16, 4))


def test_a_class_that_train_lacks_is_named(folder):
    (folder / "val" / "zebra").mkdir()
    with pytest.raises(DataError, match="zebra"):
        FolderData(folder, 0).images("test")


def test_subnets_scored_together_score_as_alone(folder, toy_space):
    space = replace(toy_space, input_channels=3, n_classes=12)
    torch.manual_seed(0)
    supernet = Supernet(space)
    rng = np.random.default_rng(0)
    subnets = [space.smallest(), space.largest(), space.sample(rng)]
    data = FolderData(folder, 0)
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
    data = FolderData(folder, 0)
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
