"""Searches at the edges: limits to the last bit, hardly any subnets, no samples, many subnets."""

from __future__ import annotations

import numpy as np
import pytest

import predictors
import qfa_search
from predictors import LatencyTable, cost_arrays, latency_ms, signature
from predictors.files import save_tensors
from qfa_search.errors import InfeasibleBudgetError, QFAError
from qfa_search.measuring.store import SampleStore
from search_spaces import layer_specs

COLUMNS = ("mflops", "gbitops", "size_kb", "activation_kb", "latency_ms")


@pytest.fixture(scope="module")
def latencies(toy_space):
    """Milliseconds that do not rise with the choices."""
    rng = np.random.default_rng(0)
    genomes = toy_space.layout.sample(rng, 2000)
    names = {
        signature(spec)
        for x in genomes
        for spec in layer_specs(toy_space, toy_space.layout.decode(x))
    }
    return LatencyTable({name: float(rng.uniform(0.01, 1)) for name in sorted(names)})


@pytest.mark.parametrize("n", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_member_is_over_any_limit_by_one_unit_in_the_last_place(predictor, latencies, n):
    space = predictor.space
    rng = np.random.default_rng(1)
    genomes = space.layout.sample(rng, n)
    costs = cost_arrays(space, genomes, COLUMNS[:-1])
    costs["latency_ms"] = latency_ms(space, genomes, latencies)
    found = 0
    for i in range(n):
        # Latencies are slow to add up, and enough are one in ten.
        n_columns = len(COLUMNS) if i % 10 == 0 else len(COLUMNS) - 1
        columns = rng.choice(COLUMNS[:n_columns], size=rng.integers(1, 4), replace=False)
        # What a subnet costs, or the next number below or above: every bit counts.
        limits = {
            f"max_{name}": float(np.nextafter(costs[name][i], direction))
            for name, direction in zip(
                columns, rng.choice([0, costs[columns[0]][i], np.inf], len(columns)), strict=True
            )
        }
        if rng.random() < 0.2:
            limits["min_top1"] = float(predictor.predict(genomes[i : i + 1])[0])
        try:
            front = qfa_search.search(
                predictor=predictor,
                latency_table=latencies,
                objectives=("top1", str(columns[0])),
                population=6,
                generations=1,
                seed=i,
                **limits,
            )
        except InfeasibleBudgetError:
            continue
        found += 1
        for name in columns:
            again = (
                latency_ms(space, front.X, latencies)
                if name == "latency_ms"
                else cost_arrays(space, front.X, [name])[name]
            )
            assert (again <= limits[f"max_{name}"]).all(), (i, limits)
        assert (predictor.predict(front.X) >= limits.get("min_top1", 0)).all()
        if "mflops" in columns:
            exact = predictors.mflops(space, front[-1].subnet)
            assert exact <= limits["max_mflops"]
    assert found > n / 2


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("column", ["mflops", "size_kb", "activation_kb"])
def test_a_limit_one_unit_below_a_subnet_excludes_it(predictor, column, step):
    space = predictor.space
    cheapest = float(cost_arrays(space, space.layout.lowest()[None], [column])[column][0])
    options = {"predictor": predictor, "population": 8, "generations": 2}
    limit = cheapest if step == 0 else float(np.nextafter(cheapest, 0))
    if step == 0:
        front = qfa_search.search(**options, **{f"max_{column}": limit})
        assert (front.costs[column] == cheapest).all()
    else:
        with pytest.raises(InfeasibleBudgetError, match=f"max_{column}"):
            qfa_search.search(**options, **{f"max_{column}": limit})


def test_limits_from_two_sides_leave_exactly_one_subnet(predictor):
    space = predictor.space
    chosen = space.layout.lowest()
    top1 = float(predictor.predict(chosen[None])[0])
    cost = float(cost_arrays(space, chosen[None], ["mflops"])["mflops"][0])
    for population, generations in ((2, 0), (2, 3), (30, 3)):
        front = qfa_search.search(
            predictor=predictor,
            max_mflops=cost,
            min_top1=top1,
            population=population,
            generations=generations,
        )
        assert np.array_equal(front.X, chosen[None])


@pytest.mark.parametrize("population", [2, 3])
@pytest.mark.parametrize("generations", [0, 1])
def test_the_smallest_searches_give_small_fronts(predictor, population, generations):
    front = qfa_search.search(
        predictor=predictor, population=population, generations=generations, max_mflops=0.1
    )
    assert 1 <= len(front) <= population * (generations + 1)
    assert front.costs["mflops"].max() <= 0.1


def test_equal_accuracies_under_three_objectives_leave_what_is_cheapest(predictor):
    predictor.predict = lambda X: np.full(len(X), 50.0)
    front = qfa_search.search(
        predictor=predictor,
        objectives=("top1", "mflops", "size_kb"),
        population=10,
        generations=5,
    )
    assert np.array_equal(front.X, predictor.space.layout.lowest()[None])


@pytest.mark.parametrize("n_good", [0, 1, 30])
def test_nan_from_a_predictor_is_told_whenever_it_comes(predictor, n_good, tmp_path):
    seen = 0
    predict = predictor.predict

    def failing(X):
        nonlocal seen
        seen += len(X)
        return np.where(seen > n_good, np.nan, predict(X))

    predictor.predict = failing
    with pytest.raises(QFAError, match="fit it again"):
        qfa_search.search(predictor=predictor, population=10, generations=10)


@pytest.mark.parametrize("content", ["no rows", "no bytes", "no database"])
def test_empty_or_broken_samples_beside_a_supernet_do_not_stop_a_search(
    spread_predictor, tmp_path, content
):
    space = spread_predictor.space
    metadata = {"space": space.to_dict()}
    save_tensors(tmp_path / "supernet.safetensors", "supernet", {"w": np.zeros(3)}, metadata)
    samples = tmp_path / "samples.sqlite"
    if content == "no rows":
        SampleStore(samples, space)
    else:
        samples.write_bytes(b"" if content == "no bytes" else b"no database" * 99)
    front = qfa_search.search(
        supernet=tmp_path, predictor=spread_predictor, population=10, generations=1
    )
    assert len(front) >= 1


def test_a_predictor_cannot_be_fitted_to_no_samples(toy_space, tmp_path):
    from typer.testing import CliRunner

    from qfa_search.cli import app

    samples = tmp_path / "samples.sqlite"
    SampleStore(samples, toy_space)
    options = ["fit", "--samples", str(samples), "--out", str(tmp_path / "p.safetensors")]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 1
    assert "run qfa-search sample first" in result.stderr
    assert not (tmp_path / "p.safetensors").exists()
