import pytest

from benchmarks import large_search


def runs(cpu_seconds, peak_mb):
    return [
        large_search.Run(
            objectives="top1,mflops",
            n_evaluated=n,
            front_size=5,
            seconds=2 * cpu,
            cpu_seconds=cpu,
            predictor_seconds=cpu / 2,
            start_mb=100.0,
            peak_mb=mb,
            state_mb=1.0,
        )
        for n, cpu, mb in zip((1000, 2000, 4000), cpu_seconds, peak_mb, strict=True)
    ]


def test_growth_is_told_by_its_power_and_by_bytes():
    linear = runs([1, 2, 4], [101, 102, 104])
    assert large_search.growth(linear) == pytest.approx(1)
    assert large_search.bytes_per_evaluation(linear) == pytest.approx(1000)
    assert large_search.growth(runs([1, 4, 16], [1, 1, 1])) == pytest.approx(2)


@pytest.mark.slow
def test_searches_of_two_lengths_are_run_and_told(tmp_path):
    arguments = ["--evaluations", "60", "120", "--population", "30", "--objectives", "top1,mflops"]
    large_search.main([*arguments, "--out", str(tmp_path)])
    text = (tmp_path / "large_search.md").read_text()
    assert "10^81.6 subnets" in text
    assert "| 60 |" in text
    assert "| 120 |" in text
    assert "to the power" in text
    assert (tmp_path / "large_search.png").read_bytes().startswith(b"\x89PNG")
