import pytest

from benchmarks import search_speed

SIZES = ["--populations", "100", "200", "--generations", "5", "--genomes", "100"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    search_speed.main([*SIZES, "--out", str(out)])
    return out


def test_report_names_command_seed_and_machine(out):
    text = (out / "search_speed.md").read_text()
    assert "`python -m benchmarks.search_speed --populations 100 200" in text
    assert "seed 0" in text
    assert "cores" in text
    assert "numpy" in text


def test_every_part_of_a_generation_takes_time(out):
    lines = (out / "search_speed.md").read_text().splitlines()
    cells = [line.split("|") for line in lines]
    times: dict[str, str] = {}
    for line in cells:
        if len(line) > 3:  # a later table has rates under some of the same names
            times.setdefault(line[1].strip(), line[2].strip(" *"))
    for part in (*search_speed.PUBLISHED_MS, "**generation**"):
        assert float(times[part]) > 0, part


def test_plot_is_written(out):
    assert (out / "search_speed.png").read_bytes().startswith(b"\x89PNG")


def test_growth_of_a_line_is_one():
    found = [
        search_speed.Speed(population=n, cpu_ms=0.06 * n, parts_ms={}, floor_ms=1.0, wall_ms=1.0)
        for n in (250, 500, 1000)
    ]
    assert search_speed.growth(found) == pytest.approx(1.0)
