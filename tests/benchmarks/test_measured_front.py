import pytest

import qfa_search
from benchmarks import measured_front
from qfa_search.measuring.samples import Sample, Setting, read_samples
from qfa_search.measuring.store import SampleStore
from qfa_search.supernet.files import resolve_supernet


@pytest.fixture
def folder(tmp_path):
    """A front of two, scored on test images: a sample, whose score was copied, and a new one."""
    if not resolve_supernet("fashion-mnist").weights.is_file():
        pytest.skip("the bundled supernet is not in this checkout")
    front = qfa_search.search(supernet="fashion-mnist", max_mflops=1, population=20, generations=5)
    samples = read_samples(resolve_supernet("fashion-mnist").samples)
    known = {x.tobytes() for x in samples.X}
    new = [i for i, x in enumerate(front.X) if x.tobytes() not in known]
    front = front.subset([0, new[-1]])
    front = front.with_measured(front.top1_predicted - [0.25, 0.5])
    front.save(tmp_path / "front.json")
    store = SampleStore(tmp_path / "samples.sqlite", front.space)
    for split, top1 in (("val", front.top1_measured), ("test", front.top1_measured - [1, 3])):
        setting = Setting(
            supernet=front.supernet_digest, split=split, recalibration="16x64", images=""
        )
        rows = zip(front.X, top1, strict=False)
        store.add(setting, [Sample(genome=x, top1=float(value)) for x, value in rows])
    return tmp_path


def test_members_stand_with_all_three_scores_and_means_are_told_by_where_they_come_from(
    folder, capsys
):
    measured_front.main([str(folder)])
    lines = capsys.readouterr().out.splitlines()
    for row in lines[2:4]:
        predicted, measured, test = (float(cell) for cell in row.strip("| ").split("|")[2:])
        first = row == lines[2]
        assert predicted - measured == pytest.approx(0.25 if first else 0.5, abs=0.011)
        assert measured - test == pytest.approx(1 if first else 3, abs=0.011)
    assert lines[5] == (
        "1 subnets measured by the search: 0.50 points less on validation images than predicted, "
        "on average."
    )
    assert "1 of 2 members that the search measured: 3.00 points" in lines[6]
    assert "1 of 2 members from the samples: 1.00 points" in lines[7]


def test_a_search_that_measured_samples_alone_says_so(folder, capsys):
    front = qfa_search.ParetoFront.load(folder / "front.json")
    front.subset([0]).save(folder / "front.json")
    (folder / "samples.sqlite").unlink()
    store = SampleStore(folder / "samples.sqlite", front.space)
    for split in ("val", "test"):
        setting = Setting(supernet=front.supernet_digest, split=split, recalibration="16x64")
        store.add(setting, [Sample(genome=front.X[0], top1=88.0)])
    measured_front.main([str(folder)])
    assert "The search measured no subnet that was not stored before." in capsys.readouterr().out
