import numpy as np
import pytest

from qfa_search.deployment.plan import network_plan
from qfa_search.deployment.plan_file import load_plan, save_plan
from tests.qfa_search.deployment.networks import random_network


def test_a_plan_comes_back_as_it_was(toy_space, tmp_path):
    network = random_network(toy_space, toy_space.sample(np.random.default_rng(1)))
    names = ["ape", "bee", "cat", "dog"]
    plan = network_plan(network, class_names=names, mean=[0.5], std=[0.25])
    save_plan(plan, tmp_path / "m.npz")
    again = load_plan(tmp_path / "m.npz")
    assert (again.space, again.subnet) == (plan.space, plan.subnet)
    assert (again.class_names, again.mean, again.std) == (tuple(names), (0.5,), (0.25,))
    for a, b in zip(again.layers, plan.layers, strict=True):
        assert (a.spec, a.grid, a.step, a.pools_input, a.gates, a.adds) == (
            *(b.spec, b.grid, b.step, b.pools_input, b.gates, b.adds),
        )
        for field in ("codes", "weights", "gain", "bias"):
            one, other = getattr(a, field), getattr(b, field)
            assert (one is None) == (other is None)
            assert one is None or (one.dtype == other.dtype and np.array_equal(one, other))


def test_a_foreign_file_is_refused(tmp_path):
    np.savez(tmp_path / "m.npz", a=np.zeros(3))
    (tmp_path / "n.npz").write_bytes(b"nothing")
    for name in ("m.npz", "n.npz", "o.npz"):
        with pytest.raises(ValueError, match="not a readable plan"):
            load_plan(tmp_path / name)
