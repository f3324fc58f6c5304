from dataclasses import replace

import numpy as np
import pytest

from predictors import AccuracyPredictor
from qfa_search.measuring.samples import Sample
from qfa_search.measuring.store import SampleStore
from qfa_search.report.sources import held_out_of, open_fronts, reported, samples_of, stored_beside


def _stored(samples, path):
    store = SampleStore(path, samples.space)
    rows = [Sample(genome=x, top1=t) for x, t in zip(samples.X, samples.frame["top1"], strict=True)]
    store.add(samples.setting, rows)


def test_files_are_named_from_where_the_page_lies(front, tmp_path):
    front.save(tmp_path / "runs" / "a" / "front.json")
    for page, file in (("runs/a/report.html", "front.json"), ("x.html", "runs/a/front.json")):
        found = open_fronts([tmp_path / "runs" / "a"], tmp_path / page)
        assert found[0].file == file


def test_fronts_are_called_after_their_folders_unless_these_are_alike(front, tmp_path):
    paths = [tmp_path / "x" / "a", tmp_path / "x" / "b", tmp_path / "y" / "a"]
    for path in paths:
        front.save(path / "front.json")
    assert [r.name for r in open_fronts(paths[:2], tmp_path / "p.html")] == ["a", "b"]
    alike = [r.name for r in open_fronts(paths[::2], tmp_path / "p.html")]
    assert alike == [str(path / "front.json") for path in paths[::2]]


def test_samples_are_taken_from_where_more_are(front, samples, tmp_path):
    few = replace(samples, X=samples.X[:7], frame=samples.frame[:7])
    _stored(few, tmp_path / "run" / "samples.sqlite")
    assert len(samples_of(front, tmp_path / "run").X) == 7
    supernet = tmp_path / "net" / "supernet.safetensors"
    _stored(samples, supernet.with_name("samples.sqlite"))
    supernet.touch()
    named = replace(front, supernet=str(supernet.parent))
    assert len(samples_of(named, tmp_path / "run").X) == 30


def test_samples_of_another_supernet_are_left_out(front, samples, tmp_path):
    _stored(samples, tmp_path / "samples.sqlite")
    assert samples_of(replace(front, supernet_digest="f" * 16), tmp_path) is None


def test_broken_samples_are_left_out(front, tmp_path):
    (tmp_path / "samples.sqlite").write_bytes(b"no database")
    assert samples_of(front, tmp_path) is None


def test_held_out_predictions_are_those_of_the_fronts_own_predictor(front, samples, tmp_path):
    top1 = samples.frame["top1"].to_numpy()
    predictor = AccuracyPredictor.fit(samples.space, samples.X, top1)
    predictor.save(tmp_path / "predictor.safetensors")
    own = replace(front, predictor_scores=predictor.report.to_dict())
    assert np.array_equal(held_out_of(own, tmp_path)[:, 1], top1)
    assert held_out_of(front, tmp_path) is None


def test_the_bundled_supernets_samples_and_held_out_predictions_are_found(tmp_path):
    import qfa_search
    from qfa_search.supernet.files import resolve_supernet

    if not resolve_supernet().samples.is_file():
        pytest.skip("the bundled supernet is not in this checkout")
    front = qfa_search.search(max_mflops=1, population=20, generations=1)
    samples = samples_of(front, tmp_path)
    assert len(samples.X) > 100
    predicted, measured = held_out_of(front, tmp_path).T
    assert np.array_equal(measured, samples.frame["top1"])
    # The file's scores were computed by the very models that these numbers are of.
    rmse = np.sqrt(np.mean((predicted - measured) ** 2))
    assert rmse == pytest.approx(front.predictor_scores["rmse"], abs=1e-5)


def test_a_front_is_shown_once(front, tmp_path):
    front.save(tmp_path / "front.json")
    with pytest.raises(ValueError, match="twice"):
        open_fronts([tmp_path, tmp_path / "front.json"], tmp_path / "p.html")


def test_a_missing_front_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        open_fronts([tmp_path / "nowhere"], tmp_path / "p.html")


def test_a_page_offers_members_of_a_file_only_where_that_holds_its_front(front, tmp_path):
    page = tmp_path / "p.html"
    assert stored_beside(front, page).name == "SAVED-FRONT.json"
    front.save(tmp_path / "front.json")
    assert stored_beside(front, page) == tmp_path / "front.json"
    part = front[2:]
    assert stored_beside(part, page).name == "SAVED-FRONT.json"
    assert reported(part, stored_beside(part, page), page).file_digest is None
