import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from qfa_search.errors import CheckpointMismatchError, DataError, QFAError, TrainingError
from qfa_search.images.on_disk import FolderData
from qfa_search.images.sources import open_data
from qfa_search.images.splits import split_folder
from qfa_search.measuring.evaluation import evaluate
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.supernet.storage import read_supernet
from qfa_search.training.config import OPTIMIZERS, TrainConfig
from qfa_search.training.distributed import World
from qfa_search.training.recipe import (
    TEACHER_FILE,
    TUNING_RATES,
    _start_from,
    further_rounds,
    train_supernet,
)
from qfa_search.training.run import train
from qfa_search.training.sandwich import sandwich, with_uniform_bits
from search_spaces import LayerBits
from tests.interrupting import run_until

TINY = TrainConfig(float_epochs=2, mixed_epochs=1, epochs=1, batch_size=22, parts=1)


@pytest.fixture(scope="module")
def images(image_folder):
    return open_data(str(image_folder), channels=1, resolution=16).images("train")


def _ignore(progress):
    pass


def _always(trained):
    return True


def _train(toy_space, images, out, config=TINY, on_step=_ignore, goes_on=_always, **options):
    trained = train_supernet(
        toy_space,
        images,
        config,
        out,
        world=World(),
        on_step=on_step,
        goes_on=goes_on,
        **options,
    )
    return trained.supernet


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, toy_space, images):
    return _train(toy_space, images, tmp_path_factory.mktemp("unbroken"))


def _equal(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


@pytest.mark.slow
def test_training_learns_what_a_toy_network_can(tmp_path, toy_space, image_folder, images):
    config = replace(TINY, float_epochs=15, mixed_epochs=4, epochs=16, shift_share=0, flip=False)
    supernet = _train(toy_space, images, tmp_path, config)
    held_out = open_data(str(image_folder), channels=1, resolution=16).images("test")
    # Two bits in eight channels learn little in a hundred steps; four bits have to.
    for architecture in (toy_space.largest(), toy_space.smallest()):
        subnet = with_uniform_bits(architecture, LayerBits(4, 4))
        network = extract(supernet, subnet)
        recalibrate(network, images.drawn(110).batches(subnet.resolution, 22))
        assert evaluate(network, held_out.batches(subnet.resolution, 8)).top1 > 60


def test_the_same_seed_gives_the_same_weights(tmp_path, toy_space, images, unbroken):
    assert _equal(unbroken, _train(toy_space, images, tmp_path))


@pytest.mark.parametrize("phase", ["float", "quantized"])
def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(
    tmp_path, toy_space, images, unbroken, phase
):
    def interrupt(progress):
        if (progress.phase, progress.step) == (phase, 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(toy_space, images, tmp_path, on_step=interrupt)
    steps = []
    resumed = _train(toy_space, images, tmp_path, on_step=lambda p: steps.append((p.phase, p.step)))
    assert steps[0] == (phase, 5)
    assert _equal(unbroken, resumed)


def test_further_rounds_follow_as_long_as_they_shall_and_go_on_with_new_draws(
    tmp_path, toy_space, images
):
    config, steps, asked = replace(TINY, rounds=3), [], []

    def goes_on(trained):
        asked.append((trained.n_rounds, len(steps)))
        return trained.n_rounds < 2

    _train(toy_space, images, tmp_path, config, lambda p: steps.append(p.phase), goes_on)
    assert [steps.count(f"quantized{name}") for name in ("", "-2", "-3", "-4")] == [10, 3, 3, 0]
    assert asked == [(0, 20), (1, 23), (2, 26)]
    second, third = further_rounds(toy_space, len(images), config)[:2]
    assert second.learning_rate == 0.5 * config.learning_rate
    assert third.drawn(0, 0, 0) == second.drawn(0, 3, 0) != second.drawn(0, 0, 0)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, toy_space, images):
    _train(toy_space, images, tmp_path)
    other = replace(TINY, seed=9)
    with pytest.raises(CheckpointMismatchError, match="seed"):
        _train(toy_space, images, tmp_path, other)


def test_a_damaged_checkpoint_is_refused(tmp_path, toy_space, images):
    (tmp_path / "float.ckpt").write_bytes(b"garbage")
    with pytest.raises(CheckpointMismatchError, match=r"float\.ckpt"):
        _train(toy_space, images, tmp_path)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(
    tmp_path, toy_space, images, monkeypatch
):
    monkeypatch.setattr("qfa_search.training.phase.CHECKPOINT_SECONDS", 0.0)
    unbroken = _train(toy_space, images, tmp_path)
    assert (tmp_path / "quantized.previous.ckpt").is_file()
    (tmp_path / "quantized.ckpt").write_bytes(b"garbage")
    assert _equal(unbroken, _train(toy_space, images, tmp_path))


def test_a_dense_teacher_is_trained_kept_and_can_be_given(tmp_path, toy_space, images):
    config = replace(TINY, teacher_width=4, teacher_epochs=2)
    phases = []
    trained = _train(toy_space, images, tmp_path / "a", config, lambda p: phases.append(p.phase))
    assert list(dict.fromkeys(phases)) == ["teacher", "float", "quantized"]
    phases.clear()
    file = tmp_path / "a" / TEACHER_FILE
    again = _train(
        toy_space, images, tmp_path / "b", TINY, lambda p: phases.append(p.phase), teacher_file=file
    )
    assert "teacher" not in phases
    assert _equal(trained, again)


def test_a_supernet_can_be_the_teacher_and_the_start(tmp_path, toy_space, image_folder, images):
    path = train(toy_space, str(image_folder), tmp_path / "first", TINY, on_step=_ignore)
    first = read_supernet(path)[0]
    losses = []
    _train(
        toy_space,
        images,
        tmp_path / "second",
        TINY,
        lambda p: losses.append(p.losses[0]),
        teacher_file=path,
        init=first,
    )
    fresh = []
    _train(toy_space, images, tmp_path / "third", TINY, lambda p: fresh.append(p.losses[0]))
    assert losses[0] < fresh[0]


def test_quantizers_of_other_bits_are_not_taken_over(toy_space):
    torch.manual_seed(0)
    first = Supernet(toy_space)  # bits 2, 3, 4
    second = Supernet(replace(toy_space, w_bit_choices=(2, 4, 8)))
    before = second.state_dict()["layers.first_block/project.weight_scale"].clone()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    _start_from(second, first)
    layer = second.layers["first_block/project"]
    assert torch.equal(layer.weight_scale, before)
    for name in ("weight", "input_alpha"):
        assert torch.equal(getattr(layer, name), getattr(first.layers["first_block/project"], name))
    stem = second.layers["stem"]  # of 8 bits in both
    assert torch.equal(stem.weight_scale, first.layers["stem"].weight_scale)


def test_the_published_schedule_has_two_phases_with_quantizers(tmp_path, toy_space, images):
    config = replace(TINY, separate_schedules=True, optimizer="sgd", learning_rate=0.01)
    rates = {"float": [], "mixed": [], "quantized": []}
    _train(toy_space, images, tmp_path, config, lambda p: rates[p.phase].append(p.learning_rate))
    assert rates["mixed"] == rates["quantized"]
    assert (tmp_path / "mixed.ckpt").is_file()


def test_images_on_disk_are_trained_on_in_random_crops(tmp_path, toy_space, image_folder):
    colour = replace(toy_space, input_channels=3)
    folder = FolderData(split_folder(image_folder, 0)).images("train")
    losses = []
    _train(colour, folder, tmp_path, TINY, lambda p: losses.append(p.losses))
    assert np.isfinite(np.concatenate(losses)).all()


def test_a_loss_that_is_not_a_number_ends_the_training(tmp_path, toy_space, images):
    wild = replace(TINY, learning_rate=1e30, warmup_epochs=0)
    with pytest.raises(TrainingError, match="lower --learning-rate"):
        _train(toy_space, images, tmp_path, wild)


def test_train_writes_a_supernet_that_knows_its_split(tmp_path, toy_space, image_folder):
    path = train(toy_space, str(image_folder), tmp_path / "run", TINY, on_step=_ignore)
    supernet, metadata = read_supernet(path)
    data = open_data(str(image_folder), channels=1, resolution=16)
    assert supernet.space == toy_space
    assert metadata["split"] == {
        "seed": 0,
        "digest": data.split_digest,
        "files": data.files_digest,
    }
    assert metadata["recipe"] == asdict(TINY)
    assert set(metadata["scores"]) >= {"teacher", "largest 4/4", "smallest 2/2"}


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


def test_a_sandwich_stays_within_the_bits_of_each_side(toy_space):
    space = replace(toy_space, w_bit_choices=(2, 4, 8), a_bit_choices=(8,))
    rng = np.random.default_rng(0)
    for _ in range(10):
        subnets = sandwich(space, rng, n_random=2, float_bits=False)
        assert all(space.contains(subnet) for subnet in subnets)
    floats = [sandwich(space, rng, n_random=2, float_bits=True) for _ in range(40)]
    extremes = {str(subnet.head[0]) for drawn in floats for subnet in drawn[:2]}
    assert extremes == {"2/8", "4/8", "8/8", "32/32"}
    assert {str(subnet.head[0]) for drawn in floats for subnet in drawn[2:]} > extremes


def test_the_extremes_draw_the_lowest_bit_width_twice_as_often(toy_space):
    rng = np.random.default_rng(0)
    drawn = [sandwich(toy_space, rng, n_random=0, float_bits=False) for _ in range(2000)]
    for subnets in zip(*drawn, strict=True):
        widths = [subnet.head[0].w_bits for subnet in subnets]
        assert [widths.count(bits) for bits in (2, 3, 4)] == pytest.approx([1000, 500, 500], abs=90)


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done(tmp_path, image_folder, toy_space_file):
    run = tmp_path / "run"

    def has_trained_a_while():
        time.sleep(1)
        metrics = run / "metrics.csv"
        return metrics.is_file() and "float" in metrics.read_text()

    arguments = ["train", "--space", str(toy_space_file), "--data", str(image_folder)]
    arguments += ["--out", str(run), "--batch-size", "22", "--float-epochs", "4000"]
    code, errors = run_until(arguments, has_trained_a_while)
    assert code == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert (run / "float.ckpt").is_file()


def test_tuning_has_a_rate_for_every_optimizer():
    assert set(TUNING_RATES) == set(OPTIMIZERS)


def test_steps_of_weights_that_are_not_taken_are_not_either(toy_space):
    torch.manual_seed(0)
    first, second = Supernet(toy_space), Supernet(replace(toy_space, n_classes=9))
    assert _start_from(Supernet(toy_space), first)
    before = second.layers["classifier"].weight_scale.clone()
    with torch.no_grad():
        first.layers["classifier"].weight_scale.mul_(3)
    assert not _start_from(second, first)
    assert torch.equal(second.layers["classifier"].weight_scale, before)
