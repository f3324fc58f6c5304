from __future__ import annotations

import math

import pytest

from qfa_search.evolution.config import SearchConfig
from qfa_search.front.objectives import Limits


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 0, "many", True])
@pytest.mark.parametrize("name", ["max_mflops", "max_latency_ms", "min_top1"])
def test_a_limit_is_a_finite_number_above_zero(name, value):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


def test_min_top1_is_at_most_100_percent():
    with pytest.raises(ValueError, match="min_top1"):
        Limits(min_top1=100.5)


def test_limits_know_their_cost_columns():
    limits = Limits(max_size_kb=30, max_mflops=2, min_top1=80)
    assert limits.max_costs() == {"mflops": 2.0, "size_kb": 30.0}
    assert Limits.from_dict(limits.to_dict()) == limits
    assert str(limits) == "max_mflops=2, max_size_kb=30, min_top1=80"


def test_unknown_limits_are_named():
    with pytest.raises(ValueError, match="max_watts"):
        Limits.from_dict({"max_watts": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": 1}, "population"),
        ({"population": 2.5}, "population"),
        ({"population": math.nan}, "population"),
        ({"generations": -1}, "generations"),
        ({"seed": -1}, "seed"),
        ({"mutation_prob": 1.5}, "mutation_prob"),
        ({"crossover_prob": math.nan}, "crossover_prob"),
        ({"objectives": ("top1",)}, "two or three"),
        ({"objectives": ("top1", "top1")}, "different"),
        ({"objectives": ("top1", "mflops", "size_kb", "gbitops")}, "two or three"),
        ({"objectives": ("top1", "watts")}, "watts"),
    ],
)
def test_a_wrong_setting_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        SearchConfig(**change)


def test_cost_columns_are_those_of_objectives_and_limits_once():
    config = SearchConfig(
        limits=Limits(max_mflops=1, max_size_kb=9), objectives=("mflops", "top1", "activation_kb")
    )
    assert config.cost_columns == ("mflops", "activation_kb", "size_kb")
