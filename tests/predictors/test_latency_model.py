from dataclasses import replace

import numpy as np
import pytest

from predictors.latency import latency_ms, needed_signatures
from predictors.latency_model import fit_latency_model
from search_spaces import layer_specs


def _networks(space, n):
    rng = np.random.default_rng(0)
    return [layer_specs(space, space.sample(rng)) for _ in range(n)]


def _time(layer):
    """Milliseconds of a made-up machine: a price for products, values and kinds."""
    price = {"depthwise": 4e-6, "conv": 1e-6}.get(layer.kind, 3e-6)
    return 0.002 + price * layer.macs + 2e-6 * layer.in_channels * layer.in_size**2


def test_layers_of_a_machine_that_is_a_sum_are_foretold_exactly(toy_space):
    networks = _networks(toy_space, 12)
    groups = [(layer,) for network in networks for layer in network]
    numbers = [i for i, network in enumerate(networks) for _ in network]
    model = fit_latency_model(groups, [_time(layer) for (layer,) in groups], numbers)
    assert model.held_out_error < 0.02
    assert model.network_error < 0.02
    unseen = [layer for network in _networks(toy_space, 30)[12:] for layer in network]
    assert model.predict(unseen) == pytest.approx([_time(layer) for layer in unseen], rel=0.05)


def test_whole_networks_are_enough(toy_space):
    networks = _networks(toy_space, 60)
    times = [sum(map(_time, network)) for network in networks]
    model = fit_latency_model(networks, times, range(60))
    assert model.network_error < 0.05
    assert model.network_error == model.held_out_error


def test_its_table_has_every_layer_of_the_space(toy_space):
    networks = _networks(toy_space, 8)
    model = fit_latency_model(networks, [sum(map(_time, n)) for n in networks], range(8))
    table = model.table(toy_space)
    assert sorted(table.values) == needed_signatures(toy_space)
    X = toy_space.layout.sample(np.random.default_rng(1), 5)
    expected = [model.predict(layer_specs(toy_space, toy_space.layout.decode(x))).sum() for x in X]
    # Expansions and projections of one shape share a line.
    assert latency_ms(toy_space, X, table) == pytest.approx(expected, rel=0.1)


def test_too_few_networks_and_impossible_times_are_refused(toy_space):
    networks = _networks(toy_space, 5)
    with pytest.raises(ValueError, match="at least 5 measured networks, got 4"):
        fit_latency_model(networks[:4], [1.0] * 4, range(4))
    with pytest.raises(ValueError, match="above 0"):
        fit_latency_model(networks, [1.0, 1.0, 0.0, 1.0, 1.0], range(5))


def test_layers_differ_by_weight_bits(toy_space):
    layer = next(layer for layer in _networks(toy_space, 1)[0] if layer.name == "final_expand")
    groups = [(replace(layer, bits=replace(layer.bits, w_bits=bits)),) for bits in (2, 3, 4) * 4]
    times = [{2: 1.0, 3: 3.0, 4: 2.0}[group[0].bits.w_bits] for group in groups]
    model = fit_latency_model(groups, times, range(12))
    assert model.predict([group[0] for group in groups[:3]]) == pytest.approx([1, 3, 2], rel=0.01)
