import json
from dataclasses import replace

import numpy as np
import pytest

from predictors import COST_COLUMNS
from qfa_search.commands.tables import HEADINGS
from qfa_search.front.objectives import OBJECTIVES
from qfa_search.front.picture import AXIS_LABELS, UNITS
from qfa_search.report.content import COLUMNS, ReportedFront, _numbers, page_content

VERSIONS = {"python": "3"}


def _content(front, **known):
    reported = ReportedFront(front=front, name="a", file="front.json", **known)
    return page_content([reported], VERSIONS)


def test_columns_are_the_fronts_own(front, samples):
    found = _content(front, samples=samples)["fronts"][0]
    assert found["top1_predicted"] == pytest.approx(front.top1_predicted, rel=1e-5)
    assert found["top1_measured"][1] is None
    assert found["costs"]["mflops"] == pytest.approx(front.costs["mflops"], rel=1e-5)
    assert found["costs"]["params"] == front.costs["params"].tolist()
    assert "published_mflops" not in found["costs"]  # the toy space has no such table
    (shown,) = _content(front, samples=samples)["samples"]
    assert shown["top1"] == pytest.approx(samples.frame["top1"], rel=1e-5)
    assert found["class_top1"]["2"] == [60, 70, 80, 90]
    assert set(found["class_top1"]) == {"0", "2", "4", "6", "8", "10"}
    assert found["knee"] == front.knee_index()
    assert found["hypervolumes"] == [0.25, 0.5, 0.625]


def test_facts_tell_settings_seeds_versions_and_digests(front, samples):
    known = {"file_digest": "fedcba9876543210", "samples": samples}
    facts = dict(_content(front, **known)["fronts"][0]["facts"])
    assert facts["file, SHA-256"] == "fedcba9876543210"
    assert facts["supernet, SHA-256"] == "0123456789abcdef"
    assert facts["seed"] == "3"
    assert facts["population"] == "24"
    assert facts["mutation prob"] == "0.05"
    assert "max_mflops=0.5" in facts["limits"]
    assert facts["samples"] == "30 measured on the val split, recalibrated with 2x8"
    assert f"{front.hypervolume():.6g}" in facts["hypervolume"]


def test_content_is_plain_json_and_repeats(front, samples):
    texts = {
        json.dumps(_content(front, samples=samples), allow_nan=False, sort_keys=True)
        for _ in range(2)
    }
    assert len(texts) == 1


def test_a_front_without_measurement_history_or_samples_has_a_page(front):
    bare = replace(
        front.with_measured(np.full(12, np.nan)),
        top1_spread=np.full(12, np.nan),
        hypervolumes=np.zeros(0),
        settings={},
        predictor_scores={},
        supernet=None,
        supernet_digest=None,
    )
    found = _content(bare)["fronts"][0]
    assert found["samples"] is found["agreement"] is found["held_out"] is None
    assert found["class_top1"] == {}
    assert found["hypervolumes"] == found["scores"] == []
    assert dict(found["facts"])["samples"] == "none found"


def test_held_out_predictions_are_on_the_page(front):
    found = _content(front, held_out=np.array([[70.0, 71], [60, 62]]))["fronts"][0]
    assert found["held_out"] == {"predicted": [70, 60], "measured": [71, 62]}


def test_fronts_of_one_supernet_share_their_samples(front, samples):
    same = replace(samples, frame=samples.frame.copy())
    other = replace(samples, X=samples.X[:5], frame=samples.frame[:5])
    content = page_content(
        [
            ReportedFront(front=front, name="a", file="a.json", samples=known)
            for known in (samples, None, other, same)
        ],
        VERSIONS,
    )
    assert [shown["samples"] for shown in content["fronts"]] == [0, None, 1, 0]
    assert [len(shown["top1"]) for shown in content["samples"]] == [30, 5]


def test_a_page_needs_members(front):
    with pytest.raises(ValueError, match="at least one front"):
        page_content([], VERSIONS)
    with pytest.raises(ValueError, match="no members"):
        _content(front.subset([]))


def test_every_cost_and_objective_has_a_name_on_the_page():
    assert set(OBJECTIVES) | set(COST_COLUMNS) - {"bitops"} <= set(COLUMNS)  # gbitops is shown


def test_every_objective_has_a_name_on_pictures_and_in_tables():
    assert set(OBJECTIVES) <= set(AXIS_LABELS)
    assert set(OBJECTIVES) <= set(UNITS)
    assert set(OBJECTIVES) - {"top1"} <= set(HEADINGS)


def test_whole_numbers_are_shown_with_all_digits():
    assert _numbers([25_234_567.0, 1234.5678, float("nan")]) == [25234567, 1234.57, None]
