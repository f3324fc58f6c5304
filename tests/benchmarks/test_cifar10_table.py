import json
import sys

import pytest

from benchmarks import cifar10_table
from benchmarks.parts.cifar10_networks import layers, mflops


@pytest.mark.parametrize(
    ("network", "macs_m"),
    [
        ("resnet-20", 40.81),
        ("resnet-56", 125.75),
        ("cnv", 59.46),
        ("resnet-8", 12.50),
        ("vgg-small", 607.6),
    ],
)
def test_published_networks_have_their_published_macs(network, macs_m):
    assert sum(layer.macs for layer in layers(network)) / 1e6 == pytest.approx(macs_m, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("resnet-20", 2, 2, "8"), 2.97),
        (("resnet-20", 4, 4, "8"), 10.54),
        (("cnv", 1, 2, "image"), 2.00),
        (("resnet-8", 4, 8, "same"), 6.25),
    ],
)
def test_bits_of_the_ends_are_counted(arguments, expected):
    assert mflops(*arguments) == pytest.approx(expected, abs=0.01)


def test_the_table_has_published_rows_and_ours(tmp_path, monkeypatch, capsys):
    members = [{"top1_test": 84.5, "mflops": 1.25, "size_kb": 40.0}]
    (tmp_path / "ours.json").write_text(json.dumps(members))
    out = tmp_path / "results"
    monkeypatch.setattr(sys, "argv", ["", "--ours", str(tmp_path / "ours.json"), "--out", str(out)])
    cifar10_table.main()
    text = (out / "cifar10_table.md").read_text()
    assert "| this front | mixed | 1.25 | 40.0 | 84.50 | one supernet |" in text
    assert "| ResNet-20 APoT | 2/2 | 2.97 | 69.0 | 90.96 |" in text
    assert "| mixed/8 |" in text
    assert "8.00 (given)" in text
    assert text == capsys.readouterr().out.removesuffix("\n")
    assert {path.name for path in out.iterdir()} == {
        f"cifar10_table.{suffix}" for suffix in ("md", "csv", "png")
    }
