from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qfa_search
import search_spaces
from predictors import LatencyTable, costs, latency_ms, signature
from predictors.files import save_tensors
from predictors.latency import needed_signatures, table_costs
from qfa_search.errors import CheckpointMismatchError, InfeasibleBudgetError, QFAError
from qfa_search.evolution.seen import genome_keys
from qfa_search.front.dominance import non_dominated_mask
from qfa_search.front.objectives import COST_OBJECTIVES
from qfa_search.supernet.files import resolve_supernet
from search_spaces import layer_specs

QUICK = {"population": 24, "generations": 6}
COLUMNS = ("mflops", "gbitops", "size_kb", "activation_kb", "flash_kb", "ram_kb")


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shares=st.dictionaries(st.sampled_from(COLUMNS), st.floats(0, 1), max_size=4),
    objectives=st.permutations(("top1", *COLUMNS)).map(lambda names: tuple(names[:3])),
    floor=st.none() | st.floats(70, 78),
    seed=st.integers(0, 100),
)
def test_no_member_is_over_a_limit_dominated_or_there_twice(
    spread_predictor, shares, objectives, floor, seed
):
    space = spread_predictor.space
    ends = costs(space, np.stack([space.layout.lowest(), space.layout.highest()]))
    limits = {
        f"max_{name}": ends[name][0] + share * (ends[name][1] - ends[name][0])
        for name, share in shares.items()
    }
    if floor is not None:
        limits["min_top1"] = floor
    try:
        front = qfa_search.search(
            predictor=spread_predictor, objectives=objectives, seed=seed, **limits, **QUICK
        )
    except InfeasibleBudgetError:
        assert floor is not None
        return
    frame = front.to_frame()
    recomputed = costs(space, front.X)
    for name in shares:
        assert (recomputed[name] <= limits[f"max_{name}"]).all()
        assert (frame[name] == recomputed[name]).all()
    assert floor is None or (frame["top1"] >= floor).all()
    assert np.array_equal(front.X, space.layout.canonicalize(front.X))
    assert len(set(genome_keys(front.X))) == len(front) > 0
    assert non_dominated_mask(front.objective_values).all()


def test_equal_seeds_give_equal_files_and_other_seeds_other_fronts(predictor, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        front = qfa_search.search(predictor=predictor, max_mflops=0.1, seed=seed, **QUICK)
        front.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_more_generations_never_lose_what_fewer_found(predictor):
    seen = []
    qfa_search.search(
        predictor=predictor, population=20, generations=25, callback=lambda p: seen.append(p)
    )
    volumes = [progress.hypervolume for progress in seen]
    assert len(seen) == 26
    assert volumes == sorted(volumes)
    assert volumes[-1] > volumes[0]
    assert 0 < volumes[-1] <= 1
    assert seen[-1].generation == seen[-1].generations == 25


def test_an_impossible_limit_ends_at_once_and_says_what_the_cheapest_needs(predictor):
    cheapest = costs(predictor.space, predictor.space.layout.lowest()[None])
    evaluated = []
    with pytest.raises(InfeasibleBudgetError, match="toy") as error:
        qfa_search.search(
            predictor=predictor, max_mflops=1e-6, max_size_kb=1e-3, callback=evaluated.append
        )
    assert not evaluated
    message = str(error.value)
    assert f"{cheapest['mflops'][0]:.3g}"[:5] in message
    assert f"{cheapest['size_kb'][0]:.5g}"[:4] in message


def test_the_limit_that_the_message_names_is_enough(predictor):
    with pytest.raises(InfeasibleBudgetError) as error:
        qfa_search.search(predictor=predictor, max_mflops=1e-6)
    needed = float(str(error.value).split("needs ")[1].split(";")[0])
    assert len(qfa_search.search(predictor=predictor, max_mflops=needed, **QUICK)) >= 1


def test_limits_that_leave_one_subnet_find_it(predictor):
    space = predictor.space
    lowest = space.layout.lowest()
    cost = costs(space, lowest[None])
    front = qfa_search.search(
        predictor=predictor, max_mflops=cost["mflops"][0], max_size_kb=cost["size_kb"][0], **QUICK
    )
    assert np.array_equal(front.X, lowest[None])
    assert front.knee_index() == 0
    assert front.plot() is not None


def test_no_generations_give_the_front_of_the_start(predictor):
    front = qfa_search.search(predictor=predictor, generations=0, population=50)
    assert 1 < len(front) <= 50


def test_a_population_of_two_is_enough(predictor):
    assert len(qfa_search.search(predictor=predictor, population=2, generations=10)) >= 2


def test_a_predictor_without_an_opinion_leaves_the_cheapest_subnet(predictor):
    predictor.predict = lambda X: np.full(len(X), 50.0)
    front = qfa_search.search(predictor=predictor, **QUICK)
    assert np.array_equal(front.X, predictor.space.layout.lowest()[None])


def test_an_unreachable_min_top1_says_what_was_reached(predictor):
    with pytest.raises(InfeasibleBudgetError, match="best predicted top1"):
        qfa_search.search(predictor=predictor, min_top1=99.99, max_mflops=0.1, **QUICK)


def test_a_predictor_that_returns_nan_ends_the_search(predictor):
    predictor.predict = lambda X: np.full(len(X), np.nan)
    with pytest.raises(QFAError, match="NaN"):
        qfa_search.search(predictor=predictor, **QUICK)


def test_initial_genomes_are_never_forgotten(predictor):
    layout = predictor.space.layout
    good = qfa_search.search(predictor=predictor, population=60, generations=40, max_mflops=0.1)
    front = qfa_search.search(
        predictor=predictor, initial=good.X, max_mflops=0.1, population=4, generations=0
    )
    assert set(genome_keys(good.X)) <= set(genome_keys(front.X))
    with pytest.raises(ValueError, match="genomes of shape"):
        qfa_search.search(predictor=predictor, initial=np.zeros((3, layout.n_genes + 1), dtype=int))


def test_the_spread_comes_from_a_predictor_that_has_one(predictor, spread_predictor):
    assert np.isnan(qfa_search.search(predictor=predictor, **QUICK).top1_spread).all()
    front = qfa_search.search(predictor=spread_predictor, **QUICK)
    assert (front.top1_spread == 0.25).all()
    assert front.predictor_scores == spread_predictor.report


def test_members_far_from_the_samples_are_marked(predictor, spread_predictor, tmp_path):
    assert not qfa_search.search(predictor=predictor, **QUICK).extrapolates.any()
    spread_predictor.extrapolates = lambda X: X[:, 0] == 1
    front = qfa_search.search(predictor=spread_predictor, **QUICK)
    assert 0 < front.extrapolates.sum() < len(front)
    assert np.array_equal(front.extrapolates, front.X[:, 0] == 1)
    assert front.to_frame()["extrapolates"].tolist() == [m.extrapolates for m in front]
    front.save(tmp_path / "front.json")
    again = qfa_search.ParetoFront.load(tmp_path / "front.json")
    assert np.array_equal(again.extrapolates, front.extrapolates)


def test_a_predictor_of_another_space_is_refused(predictor):
    with pytest.raises(CheckpointMismatchError, match="toy"):
        qfa_search.search(space="fashion-mnist", predictor=predictor, **QUICK)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_latency_ms": 3}, "latency_table"),
        ({"max_minstructions": 3}, "latency_table"),
        ({"max_published_mflops": 3}, "no published cost table"),
        ({"max_mflops": float("nan")}, "max_mflops"),
        ({"objectives": ("top1", "latency_ms")}, "latency_table"),
    ],
)
def test_arguments_that_cannot_be_are_value_errors(predictor, limits, message):
    with pytest.raises(ValueError, match=message):
        qfa_search.search(predictor=predictor, **limits)


def test_published_mflops_limit_the_published_space():
    space = search_spaces.load("mobilenet-v3-w1.2")

    class BitsAreGood:
        def __init__(self):
            self.space = space

        def predict(self, X):
            return X.mean(axis=1) * 40

    front = qfa_search.search(
        predictor=BitsAreGood(),
        max_published_mflops=10,
        objectives=("top1", "published_mflops"),
        population=20,
        generations=3,
    )
    frame = front.to_frame()
    assert frame["published_mflops"].max() <= 10
    assert frame["published_mflops"].is_monotonic_increasing


def test_latency_is_limited_by_a_table_even_where_larger_is_faster(predictor, tmp_path):
    space, layout = predictor.space, predictor.space.layout
    rng = np.random.default_rng(0)
    names = {
        signature(spec)
        for x in layout.sample(rng, 3000)
        for spec in layer_specs(space, layout.decode(x))
    }
    # The wider the bits, the faster: the lowest genome is not the fastest.
    table = LatencyTable({n: 1 / (1 + int(n[-1])) for n in sorted(names)})
    slow = float(latency_ms(space, layout.lowest()[None], table)[0])
    table.save(tmp_path / "latency.csv")
    front = qfa_search.search(
        predictor=predictor,
        latency_table=tmp_path / "latency.csv",
        max_latency_ms=slow * 0.9,
        objectives=("top1", "latency_ms"),
        **QUICK,
    )
    assert front.to_frame()["latency_ms"].max() <= slow * 0.9
    with pytest.raises(InfeasibleBudgetError, match="max_latency_ms"):
        qfa_search.search(predictor=predictor, latency_table=table, max_latency_ms=slow / 50)
    with pytest.raises(ValueError, match=r"minstructions needs .* and this one has latency_ms"):
        qfa_search.search(predictor=predictor, latency_table=table, max_minstructions=slow)


def test_instructions_are_limited_by_a_table_of_them(predictor, tmp_path):
    space, layout = predictor.space, predictor.space.layout
    model = {name: 0.01 * len(name) for name in needed_signatures(space)}
    table = LatencyTable(model, "minstructions")
    least = float(table_costs(space, layout.lowest()[None], table)[0])
    front = qfa_search.search(
        predictor=predictor,
        latency_table=table,
        max_minstructions=1.1 * least,
        objectives=("top1", "minstructions"),
        **QUICK,
    )
    front.save(tmp_path / "front.json")
    again = qfa_search.ParetoFront.load(tmp_path / "front.json")
    assert 0 < again.to_frame()["minstructions"].max() <= 1.1 * least
    assert "latency_ms" not in again.costs
    with pytest.raises(ValueError, match=r"latency_ms needs .* and this one has minstructions"):
        qfa_search.search(predictor=predictor, latency_table=table, max_latency_ms=3)


def test_every_cost_objective_exists():
    space = search_spaces.load("mobilenet-v3-w1.2")
    columns = set(costs(space, space.layout.lowest()[None]).columns)
    assert set(COST_OBJECTIVES) <= columns | {"latency_ms", "minstructions"}


def test_files_belong_to_a_supernet_by_their_names(tmp_path):
    (tmp_path / "supernet.safetensors").touch()
    save_tensors(tmp_path / "mine.safetensors", "supernet", {}, {})
    folder = resolve_supernet(tmp_path)
    assert folder.predictor == tmp_path / "predictor.safetensors"
    assert folder.samples == tmp_path / "samples.sqlite"
    single = resolve_supernet(tmp_path / "mine.safetensors")
    assert single.predictor.name == "mine.predictor.safetensors"
    assert single.samples.name == "mine.samples.sqlite"
    assert len(single.digest()) == 16
    with pytest.raises(ValueError, match="no supernet"):
        resolve_supernet(tmp_path / "other.safetensors")


def test_a_search_never_imports_torch():
    code = (
        "import sys, qfa_search; assert 'numpy' not in sys.modules; "
        "import qfa_search.evolution.search, qfa_search.front.folder, qfa_search.front.picture; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported():
    for name in qfa_search.__all__:
        assert getattr(qfa_search, name) is not None
        assert name in dir(qfa_search)
    with pytest.raises(AttributeError, match="nothing"):
        _ = qfa_search.nothing


def test_the_front_knows_the_hypervolume_of_every_generation(predictor):
    told = []
    front = qfa_search.search(
        predictor=predictor, max_mflops=0.1, population=24, generations=6, callback=told.append
    )
    assert front.hypervolumes.tolist() == [progress.hypervolume for progress in told]
    assert front.settings["population"] == 24
    assert (np.diff(front.hypervolumes) >= 0).all()


def test_a_space_without_a_form_in_c_has_no_flash_to_limit(toy_space, predictor):
    space = toy_space.in_floating_point()
    with pytest.raises(ValueError, match="flash_kb is that of a C file"):
        qfa_search.search(space=space, predictor=type(predictor)(space), max_flash_kb=500, **QUICK)
