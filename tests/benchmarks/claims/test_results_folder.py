from pathlib import Path

import pytest

from benchmarks.claims.__main__ import parser, results_folder


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        ([], "benchmarks/results"),
        (["--supernet", "cifar10"], "benchmarks/results/cifar10"),
        (["--supernet", "runs/p", "--out", "runs/c"], "runs/c"),
        (["--quick", "--out", "runs/c"], "runs/c"),
    ],
)
def test_pages_that_are_kept_are_those_of_real_sizes_of_bundled_supernets(arguments, folder):
    assert results_folder(parser().parse_args(arguments)) == Path(folder)
