import time

import numpy as np
import pytest
import torch

from qfa_search.data import open_data
from qfa_search.errors import CheckpointMismatchError, DataError, QFAError, TrainingError
from qfa_search.evaluation import evaluate
from qfa_search.supernet.extract import extract
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.supernet.storage import read_supernet
from qfa_search.train.config import TrainConfig
from qfa_search.train.distributed import World
from qfa_search.train.loop import train_supernet
from qfa_search.train.run import train
from qfa_search.train.sandwich import sandwich, with_uniform_bits
from tests.interrupting import run_until

TINY = TrainConfig(float_epochs=2, epochs=2, batch_size=22, warmup_steps=2)


@pytest.fixture(scope="module")
def images(image_folder):
    return open_data(str(image_folder), channels=1, resolution=16).images("train")


def _ignore(progress):
    pass


def _train(toy_space, images, out, config=TINY, on_step=_ignore):
    return train_supernet(toy_space, images, config, out, world=World(), on_step=on_step)


def _equal(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_training_learns_what_a_toy_network_can(tmp_path, toy_space, image_folder, images):
    config = TrainConfig(float_epochs=15, epochs=20, batch_size=22, shift_pixels=0, flip=False)
    supernet = _train(toy_space, images, tmp_path, config)
    held_out = open_data(str(image_folder), channels=1, resolution=16).images("test")
    # Two bits in eight channels learn little in a hundred steps; four bits have to.
    for architecture in (toy_space.largest(), toy_space.smallest()):
        subnet = with_uniform_bits(architecture, 4)
        network = extract(supernet, subnet)
        recalibrate(network, images.drawn(110).batches(subnet.resolution, 22))
        assert evaluate(network, held_out.batches(subnet.resolution, 8)).top1 > 60


def test_the_same_seed_gives_the_same_weights(tmp_path, toy_space, images):
    first, second = (_train(toy_space, images, tmp_path / name) for name in "ab")
    assert _equal(first, second)


@pytest.mark.parametrize("phase", ["float", "quantized"])
def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(
    tmp_path, toy_space, images, phase
):
    unbroken = _train(toy_space, images, tmp_path / "a")

    def interrupt(progress):
        if (progress.phase, progress.step) == (phase, 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(toy_space, images, tmp_path / "b", on_step=interrupt)
    steps = []
    resumed = _train(
        toy_space, images, tmp_path / "b", on_step=lambda p: steps.append((p.phase, p.step))
    )
    assert steps[0] == (phase, 5)
    assert _equal(unbroken, resumed)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, toy_space, images):
    _train(toy_space, images, tmp_path)
    other = TrainConfig(float_epochs=2, epochs=2, batch_size=22, warmup_steps=2, seed=9)
    with pytest.raises(CheckpointMismatchError, match="seed"):
        _train(toy_space, images, tmp_path, other)


def test_a_damaged_checkpoint_is_refused(tmp_path, toy_space, images):
    (tmp_path / "float.ckpt").write_bytes(b"garbage")
    with pytest.raises(CheckpointMismatchError, match=r"float\.ckpt"):
        _train(toy_space, images, tmp_path)


def test_a_loss_that_is_not_a_number_ends_the_training(tmp_path, toy_space, images):
    wild = TrainConfig(float_epochs=2, epochs=2, batch_size=22, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        _train(toy_space, images, tmp_path, wild)


def test_train_writes_a_supernet_that_knows_its_split(tmp_path, toy_space, image_folder):
    path = train(toy_space, str(image_folder), tmp_path / "run", TINY, on_step=_ignore)
    supernet, metadata = read_supernet(path)
    data = open_data(str(image_folder), channels=1, resolution=16)
    assert supernet.space == toy_space
    assert metadata["split"] == {"seed": 0, "digest": data.split_digest}
    assert metadata["recipe"]["epochs"] == 2


def test_an_earlier_result_is_never_overwritten(tmp_path, toy_space, image_folder):
    train(toy_space, str(image_folder), tmp_path, TINY, on_step=_ignore)
    with pytest.raises(QFAError, match="exists already"):
        train(toy_space, str(image_folder), tmp_path, TINY, on_step=_ignore)


def test_images_of_other_classes_are_refused(tmp_path, image_folder):
    from search_spaces import load

    with pytest.raises(DataError, match="4 classes, fashion-mnist 10"):
        train(load("fashion-mnist"), str(image_folder), tmp_path, TINY, on_step=_ignore)


def test_a_sandwich_has_the_extremes_and_every_bit_width(toy_space):
    rng = np.random.default_rng(0)
    widths = set()
    for _ in range(30):
        largest, smallest, *rest = sandwich(toy_space, rng, n_random=2, float_bits=True)
        assert [len(stage) for stage in largest.stages] == [2, 2]
        assert [len(stage) for stage in smallest.stages] == [1, 1]
        assert (largest.resolution, smallest.resolution) == (16, 12)
        widths |= {bits.w_bits for bits in (*largest.head, *rest[0].head, *rest[1].head)}
    assert widths == {2, 3, 4, 32}


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="epochs must be a positive number, got nan"):
        TrainConfig(epochs=float("nan"))
    with pytest.raises(ValueError, match="batch_size"):
        TrainConfig(batch_size=1)


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done(tmp_path, image_folder, toy_space_file):
    run = tmp_path / "run"

    def has_trained_a_while():
        time.sleep(1)
        if not run.is_dir():
            return False
        time.sleep(5)
        return True

    arguments = ["train", "--space", str(toy_space_file), "--data", str(image_folder)]
    arguments += ["--out", str(run), "--batch-size", "22", "--float-epochs", "4000"]
    code, errors = run_until(arguments, has_trained_a_while)
    assert code == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert (run / "float.ckpt").is_file()
