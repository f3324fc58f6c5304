import numpy as np
import pytest

from qfa_search.report.distribution import along


def _rows(found, title):
    measure = next(m for m in found["measures"] if m["title"] == title)
    return {row["name"]: row["means"] for row in measure["rows"]}


def test_a_part_of_one_member_shows_that_member(front):
    found = along(front, n_parts=len(front))
    for i, member in enumerate(front):
        block = member.subnet.stages[1][0]
        assert _rows(found, "kernel size")["block 2.1"][i] == block.kernel_size
        assert _rows(found, "expand ratio")["block 2.1"][i] == block.expand_ratio
        assert _rows(found, "weight bits")["block 2.1 depthwise"][i] == block.depthwise.w_bits
        assert _rows(found, "activation bits")["block 2.1 project"][i] == block.project.a_bits
        assert _rows(found, "depth")["stage 2"][i] == len(member.subnet.stages[1])
        assert _rows(found, "resolution")["input"][i] == member.subnet.resolution
        second = member.subnet.stages[1][1:]
        assert _rows(found, "kernel size")["block 2.2"][i] == (
            second[0].kernel_size if second else None
        )
    assert found["starts"] == found["ends"] == front.costs["mflops"].tolist()


def test_parts_have_the_mean_of_their_members(front):
    found = along(front, n_parts=2)
    resolution = [member.subnet.resolution for member in front]
    means = [np.mean(resolution[:6]), np.mean(resolution[6:])]
    assert _rows(found, "resolution")["input"] == pytest.approx(means, abs=1e-3)
    assert found["starts"][1] == front.costs["mflops"][6]
    assert found["ends"][0] == front.costs["mflops"][5]


def test_the_first_block_has_no_expansion(front):
    names = _rows(along(front), "weight bits")
    assert "first block expand" not in names
    assert {"first block depthwise", "final expand", "feature mix"} <= set(names)
