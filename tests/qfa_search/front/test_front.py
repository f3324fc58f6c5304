from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from predictors import cost_arrays
from qfa_search.errors import QFAError
from qfa_search.front.choosing import knee
from qfa_search.front.dominance import hypervolume, largest_gains, non_dominated_mask
from qfa_search.front.front import ParetoFront
from qfa_search.front.objectives import Limits

POINTS = npst.arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.integers(2, 3)),
    elements=st.integers(0, 6).map(float),
)


def brute_force_mask(F):
    mask = np.ones(len(F), dtype=bool)
    for i, point in enumerate(F):
        for j, other in enumerate(F):
            dominates = (other <= point).all() and (other < point).any()
            if dominates or (j < i and (other == point).all()):
                mask[i] = False
    return mask


@given(POINTS)
def test_the_mask_equals_brute_force(F):
    assert np.array_equal(non_dominated_mask(F), brute_force_mask(F))


@given(POINTS, st.randoms(use_true_random=False))
def test_the_set_of_points_ignores_order_and_duplicates(F, random):
    order = list(range(len(F))) * 2
    random.shuffle(order)
    shuffled = F[order]
    found = {tuple(row) for row in shuffled[non_dominated_mask(shuffled)]}
    assert found == {tuple(row) for row in F[non_dominated_mask(F)]}


def test_no_points_have_an_empty_mask_and_no_volume():
    assert non_dominated_mask(np.empty((0, 2))).shape == (0,)
    assert hypervolume(np.empty((0, 2)), (1, 1)) == 0


def test_hypervolume_of_two_steps_is_their_area():
    assert hypervolume([(1, 2), (2, 1)], (3, 3)) == 3.0
    assert hypervolume([(4, 4)], (3, 3)) == 0.0


def test_hypervolume_wants_one_reference_value_per_objective():
    with pytest.raises(ValueError, match="ref_point"):
        hypervolume([(1, 2)], (3, 3, 3))


@pytest.fixture
def front(toy_space) -> ParetoFront:
    X = toy_space.layout.sample(np.random.default_rng(0), 12)
    costs = cost_arrays(toy_space, X)
    X = X[np.argsort(costs["mflops"])[::-1]]
    return ParetoFront(
        space=toy_space,
        X=X,
        costs=cost_arrays(toy_space, X),
        top1_predicted=np.linspace(90, 80, 12),
        top1_spread=np.full(12, np.nan),
        top1_measured=np.full(12, np.nan),
        limits=Limits(min_top1=50),
        seed=3,
        supernet="toy",
        supernet_digest="0123456789abcdef",
        predictor_scores={"kendall_tau": 0.9},
    )


def test_members_are_sorted_by_the_first_cost_objective(front):
    frame = front.to_frame()
    assert frame["mflops"].is_monotonic_increasing
    assert frame["top1"].is_monotonic_increasing
    assert list(frame.columns[:4]) == ["top1", "top1_predicted", "top1_spread", "top1_measured"]
    assert frame.columns[-1] == "genome"


def test_a_member_has_its_subnet_and_its_costs(front):
    member = front[3]
    genome = front.space.layout.encode(member.subnet)
    assert tuple(genome) == member.genome == front.to_frame()["genome"][3]
    assert member.costs["macs"] == cost_arrays(front.space, genome[None])["macs"][0]
    assert member.top1 == member.top1_predicted
    assert front[-1].genome == list(front)[-1].genome
    assert len(front[2:5]) == 3
    with pytest.raises(IndexError):
        front[12]


def test_a_saved_front_is_read_back_equal(front, tmp_path):
    front = front.with_measured(np.where(np.arange(12) % 2, 85.5, np.nan))
    front.save(tmp_path / "front.json")
    again = ParetoFront.load(tmp_path / "front.json")
    assert again.to_dict() == front.to_dict()
    assert again.space == front.space
    assert again.limits == front.limits
    assert again.to_frame().equals(front.to_frame())
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "front.json").read_bytes()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "qfa-search front", "schema_version": 99}', "\x00"],
)
def test_what_is_no_front_is_refused_with_its_name(text, tmp_path):
    path = tmp_path / "front.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"front\.json"):
        ParetoFront.load(path)


def test_a_front_with_a_part_missing_is_refused(front, tmp_path):
    path = tmp_path / "front.json"
    for part in ("space", "members", "limits", "seed", "objectives"):
        data = front.to_dict()
        del data[part]
        path.write_text(json.dumps(data))
        with pytest.raises(ValueError, match=r"front\.json"):
            ParetoFront.load(path)


def test_measured_accuracy_takes_the_place_of_the_predicted(front):
    measured = front.with_measured(np.where(np.arange(12) == 4, 99.0, np.nan))
    assert measured.top1[4] == 99.0
    assert measured.top1[5] == front.top1_predicted[5]
    assert np.isnan(front.top1_measured).all()


def test_the_measured_front_drops_what_measuring_shows_to_be_dominated(front):
    top1 = np.full(12, np.nan)
    top1[[0, 3, 6, 9]] = 81, 80, 86, 40
    measured = front.with_measured(top1).measured()
    assert measured.top1.tolist() == [81, 86]
    assert non_dominated_mask(measured.objective_values).all()


def test_a_measured_front_without_members_is_an_error(front):
    with pytest.raises(QFAError, match="min_top1"):
        front.with_measured(np.full(12, 10.0)).measured()


def test_evenly_chosen_members_include_both_ends(front):
    assert front.evenly_chosen(3).tolist() == [0, 6, 11]
    assert len(front.evenly_chosen(99)) == 12
    assert front.evenly_chosen(1).tolist() == [0]


def test_the_knee_is_where_the_front_bends(toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 4)
    front = ParetoFront(
        space=toy_space,
        X=X,
        costs={"mflops": np.array([1.0, 2.0, 3.0, 9.0])},
        top1_predicted=np.array([50.0, 80.0, 81.0, 82.0]),
        top1_spread=np.full(4, np.nan),
        top1_measured=np.full(4, np.nan),
    )
    assert front.knee_index() == 1
    assert front.knee().top1 == 80
    assert front.hypervolume((0, 10)) == 50 * 9 + 30 * 8 + 1 * 7 + 1 * 1


def test_costs_that_fall_together_do_not_draw_the_knee_to_the_cheap_end():
    cost = np.linspace(0, 1, 21)
    loss = (1 - cost) ** 2
    one, two = np.stack([loss, cost], axis=1), np.stack([loss, cost, 5 * cost], axis=1)
    assert knee(two) == knee(one) == 10
    assert knee(one[:1]) == 0
    assert knee(np.stack([np.full(21, np.nan), cost[::-1]], axis=1)) == 20  # no accuracy is known


def test_the_reference_point_is_in_the_units_of_the_objectives(front):
    worst = float(front.costs["mflops"].max())
    assert front.hypervolume((95.0, worst)) == 0
    assert front.hypervolume((50.0, worst)) < front.hypervolume((0.0, worst))
    assert front.hypervolume() > 0


def test_a_column_of_the_wrong_length_is_named(front):
    with pytest.raises(ValueError, match="top1_measured"):
        front.with_measured([1.0, 2.0])


def test_equal_fronts_are_drawn_with_equal_bytes(front, tmp_path):
    from qfa_search.front.picture import save_figure

    save_figure(front.plot(), tmp_path / "a.png")
    save_figure(front.plot(), tmp_path / "b.png")
    picture = (tmp_path / "a.png").read_bytes()
    assert picture == (tmp_path / "b.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_a_picture_names_axes_units_limits_and_knee(front):
    axes = front.plot().axes[0]
    assert "MFLOPs" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()
    assert "toy" in axes.get_title(loc="left")
    assert "min_top1=50" in axes.get_title(loc="left")
    assert any("knee" in text.get_text() for text in axes.get_legend().get_texts())


@given(st.integers(0, 2**32 - 1), st.integers(2, 3))
def test_the_chosen_points_add_the_most_hypervolume_one_after_the_other(seed, n_objectives):
    rng = np.random.default_rng(seed)
    F, known = rng.random((12, n_objectives)), rng.random((4, n_objectives))
    corner = np.ones(n_objectives)
    chosen = largest_gains(F, known, corner, 4)
    points = known
    for i in chosen:
        gains = [hypervolume(np.vstack([points, f]), corner) for f in F]
        assert hypervolume(np.vstack([points, F[i]]), corner) == pytest.approx(max(gains))
        points = np.vstack([points, F[i]])
    if len(chosen) < 4:
        rest = [hypervolume(np.vstack([points, f]), corner) for f in F]
        assert max(rest) == pytest.approx(hypervolume(points, corner))


def test_points_that_add_nothing_are_not_chosen():
    known = np.array([[0.1, 0.1]])
    assert len(largest_gains([[0.5, 0.5], [0.1, 0.1]], known, [1, 1], 2)) == 0
    assert list(largest_gains([[0.5, 0.5], [0.2, 0.2]], known[:0], [1, 1], 2)) == [1]


def test_settings_history_and_classes_survive_saving(front, tmp_path):
    by_class = np.arange(48.0).reshape(12, 4)
    by_class[3, 1] = np.nan
    told = replace(front, settings={"population": 24}, hypervolumes=np.array([0.25, 0.5]))
    told = told.with_measured(
        np.arange(12.0), class_top1=by_class, class_names=("a", "b", "<c>", "d")
    )
    told.save(tmp_path / "front.json")
    loaded = ParetoFront.load(tmp_path / "front.json")
    assert loaded.settings == {"population": 24}
    assert loaded.hypervolumes.tolist() == [0.25, 0.5]
    assert loaded.class_names == ("a", "b", "<c>", "d")
    assert np.array_equal(loaded.class_top1, by_class, equal_nan=True)
    assert np.array_equal(loaded.subset([2, 5]).class_top1, by_class[[2, 5]])


def test_a_front_of_an_earlier_version_has_no_history(front):
    data = front.to_dict()
    for name in ("settings", "hypervolumes", "class_names"):
        del data[name]
    loaded = ParetoFront.from_dict(data)
    assert loaded.settings == {}
    assert loaded.hypervolumes.size == loaded.class_top1.size == 0


def test_masks_and_indices_choose_members(front):
    mask = front.costs["mflops"] < np.median(front.costs["mflops"])
    assert np.array_equal(front[mask].X, front.X[mask])
    assert np.array_equal(front[[3, 1, 3]].X, front.X[[1, 3]])
    assert np.array_equal(front[np.array([-1])].X, front.X[-1:])
    assert len(front[[]]) == 0
    for wrong in (mask[:-1], "knee", [0.5], [99], 12):
        with pytest.raises(IndexError):
            front[wrong]


def test_within_keeps_what_is_inside_and_the_tighter_limits(front):
    limit = float(np.median(front.costs["size_kb"]))
    found = front.within(max_size_kb=limit, min_top1=40)
    assert np.array_equal(found.X, front.X[front.costs["size_kb"] <= limit])
    assert found.limits == Limits(max_size_kb=limit, min_top1=50)
    assert len(front.within(max_size_kb=1e-6)) == 0
    with pytest.raises(ValueError, match="does not know latency_ms"):
        front.within(max_latency_ms=3)
    with pytest.raises(ValueError, match="max_mflops must be a finite number above 0"):
        front.within(max_mflops=0)


def test_the_best_is_the_most_accurate(front):
    assert front.best().top1 == front.top1.max()
    measured = np.full(len(front), np.nan)
    measured[4] = 99.0
    assert front.with_measured(measured).best_index() == 4
    with pytest.raises(ValueError, match="no members"):
        front[:0].best()
    with pytest.raises(ValueError, match="no members"):
        front[:0].knee()


def _changed(data, change):
    data = json.loads(json.dumps(data))
    change(data)
    return data


def _set(*way_and_value):
    *way, key, value = way_and_value

    def change(data):
        for step in way:
            data = data[step]
        data[key] = value

    return change


WRONG = {
    "mflops of another": (_set("members", 0, "costs", "mflops", 1e-5), "is said to have mflops"),
    "macs of another": (_set("members", 5, "costs", "macs", 1), "member 5 is said to have macs"),
    "no percentage": (_set("members", 2, "top1_predicted", 101.0), "must be a percentage"),
    "measured below 0": (_set("members", 2, "top1_measured", -1), "must be a percentage"),
    "spread below 0": (_set("members", 2, "top1_spread", -0.5), "top1_spread of member 2"),
    "spread of text": (_set("members", 2, "top1_spread", "1"), "finite number, got '1'"),
    "fraction": (_set("members", 2, "genome", 0, 0.9), "whole number, got 0.9"),
    "truth value": (_set("members", 2, "genome", 0, True), "whole number, got True"),
    "huge": (_set("members", 2, "genome", 0, 10**30), "must be at most"),
    "over a limit": (_set("limits", {"max_mflops": 1e-3}), "exceeds the limits max_mflops=0.001"),
    "below a limit": (_set("limits", {"min_top1": 85}), "exceeds the limits min_top1=85"),
    "another objective": (_set("objectives", ["top1", "watts"]), "unknown objective 'watts'"),
    "one objective": (_set("objectives", ["top1"]), "two or three"),
    "unknown limit": (_set("limits", {"max_watts": 3}), "unknown limits"),
    "seed": (_set("seed", 1.5), "seed must be a whole number"),
    "digest": (_set("supernet_digest", 3), "must be text"),
    "scores": (_set("predictor_scores", {"rmse": "low"}), "rmse must be a finite number"),
    "members": (_set("members", {"a": 1}), "wrong form"),
    "objective": (_set("objectives", ["top1", "latency_ms"]), "latency_ms is an objective, but no"),
    "classes of one": (_set("members", 2, "class_top1", [50.0] * 4), "for 1 of 12 members"),
    "classes": (_set("class_names", ["a", "b"]), "there are 2 class_names, 4 classes"),
    "neither": (_set("members", 2, "top1_predicted", None), "member 2 has neither"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_front_that_contradicts_itself_is_refused(rising_front, name):
    change, told = WRONG[name]
    with pytest.raises(ValueError, match=told):
        ParetoFront.from_dict(_changed(rising_front.to_dict(), change))


@pytest.mark.parametrize("values", [[50.0] * 3, [50.0] * 5, 50.0, "5050"])
def test_accuracies_of_other_classes_than_the_space_has_are_refused(rising_front, values):
    data = rising_front.to_dict()
    for member in data["members"]:
        member["class_top1"] = values
    with pytest.raises(ValueError, match="class_top1 must be 4 numbers"):
        ParetoFront.from_dict(data)


def test_members_are_canonical_and_each_is_there_once(rising_front):
    data = rising_front.to_dict()
    twice = _changed(data, lambda d: d["members"].append(d["members"][3]))
    with pytest.raises(ValueError, match="there twice"):
        ParetoFront.from_dict(twice)
    silent = rising_front.space.layout.silent(rising_front.X)
    row, gene = np.argwhere(silent)[0]
    with pytest.raises(ValueError, match=f"genome of member {row} has genes of blocks"):
        ParetoFront.from_dict(_changed(data, _set("members", row, "genome", gene, 1)))
