import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.batches import TrainBatch
from qfa_search.training.config import TrainConfig, preset
from qfa_search.training.distributed import World
from qfa_search.training.phase import Phase, run_phase
from qfa_search.training.sandwich import sandwich

NESTEROV = 1.9  # the first step of momentum 0.9 goes 1 + 0.9 gradients far


class _Pixels:
    """Noise with soft labels, other images for each subnet."""

    def __len__(self):
        return 100

    def batch(self, step, part, resolutions):
        batches = {}
        for place, r in resolutions.items():
            generator = torch.Generator().manual_seed(10 * part + place)
            images = torch.randn(4, 1, r, r, generator=generator)
            labels = torch.randint(4, (4,), generator=generator)
            batches[place] = TrainBatch(images, labels, torch.randn(4, 4, generator=generator))
        return batches


def _cross_entropy(logits, target):
    return -(target * logits.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("changes", [{}, {"subnet_losses": "mean"}, {"label_weight": 0.25}])
def test_the_published_gradient_is_the_sum_of_both_losses_over_the_subnets(
    toy_space, tmp_path, changes
):
    config = preset("imagenet", batch_size=4, parts=2, weight_decay=0.0, **changes)
    phase = Phase(
        name="quantized",
        n_steps=1,
        learning_rate=1e-3,
        resolution=16,
        subnets=lambda rng, step: sandwich(
            toy_space, rng, n_random=config.n_random, float_bits=False
        ),
    )
    torch.manual_seed(0)
    network = Supernet(toy_space)
    by_hand = copy.deepcopy(network)
    source = _Pixels()
    run_phase(phase, network, source, config, tmp_path, world=World(), on_step=lambda p: None)

    total = torch.zeros(())
    for part in range(2):
        drawn = phase.drawn(config.seed, 0, part)
        assert len(drawn) == 6
        batches = source.batch(0, part, {i: r for i, (_, r) in enumerate(drawn)})
        for i, (subnet, _) in enumerate(drawn):
            logits = by_hand(batches[i].images, subnet)
            smooth = 0.9 * torch.eye(4)[batches[i].labels] + 0.1 / 4
            soft = batches[i].teacher_logits.softmax(1)
            label_weight = changes.get("label_weight", 1)
            loss = label_weight * _cross_entropy(logits, smooth) + _cross_entropy(logits, soft)
            total = total + loss / 2 / (6 if changes.get("subnet_losses") == "mean" else 1)
    total.backward()
    for (name, new), old in zip(network.named_parameters(), by_hand.parameters(), strict=True):
        gradient = torch.zeros_like(old) if old.grad is None else old.grad
        moved = (old - new).detach() / (NESTEROV * phase.learning_rate)
        size = float(gradient.abs().max())
        assert torch.allclose(moved, gradient, rtol=1e-3, atol=1e-3 * size + 1e-3), name


def test_the_averaged_gradient_is_twelve_times_smaller(toy_space, tmp_path):
    config = preset("imagenet", batch_size=4, parts=1)
    averaged = replace(config, label_weight=0.5, teacher_weight=0.5, subnet_losses="mean")
    norms = []
    for i, recipe in enumerate((config, averaged)):
        torch.manual_seed(0)
        phase = Phase(
            name="quantized",
            n_steps=1,
            learning_rate=1e-3,
            resolution=16,
            subnets=lambda rng, step: sandwich(toy_space, rng, n_random=4, float_bits=False),
        )
        run_phase(
            phase,
            Supernet(toy_space),
            _Pixels(),
            recipe,
            tmp_path / str(i),
            world=World(),
            on_step=lambda p: norms.append(p.gradient_norm),
        )
    assert norms[0] == pytest.approx(12 * norms[1], rel=1e-5)
    assert np.isfinite(norms).all()


class _Dropout(nn.Module):
    """A network with dropout and running statistics, as pretrained classifiers have them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(16 * 16, 4)
        self.n_calls, self.interrupted_at = 0, None

    def forward(self, x):
        x = self.norm(x)
        self.n_calls += 1
        if self.n_calls == self.interrupted_at:
            raise KeyboardInterrupt
        return self.linear(self.drop(x.flatten(1)))


@pytest.mark.parametrize("interrupted_at", [1, 4])
def test_a_network_with_dropout_goes_on_as_if_it_had_not_been_interrupted(tmp_path, interrupted_at):
    config = TrainConfig(batch_size=4, parts=1, optimizer="adamw")
    phase = Phase(
        name="teacher",
        n_steps=6,
        learning_rate=1e-2,
        resolution=16,
        subnets=lambda rng, step: [None],
    )

    def trained(network, out):
        run_phase(phase, network, _Pixels(), config, out, world=World(), on_step=lambda p: None)
        return network.state_dict()

    unbroken = trained(_Dropout(), tmp_path / "a")
    network = _Dropout()
    network.interrupted_at = interrupted_at
    with pytest.raises(KeyboardInterrupt):
        trained(network, tmp_path / "b")
    torch.manual_seed(7)
    resumed = trained(_Dropout(), tmp_path / "b")
    assert all(
        torch.equal(unbroken[name], resumed[name]) for name in unbroken if "num_" not in name
    )
