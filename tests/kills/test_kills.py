"""kill -9 at any moment: the same command once more ends as if nothing had happened."""

from __future__ import annotations

import pytest

from tests.kills.killing import killed

pytestmark = pytest.mark.slow
NAMES = ("train", "sample", "search", "fit", "export onnx", "export c")


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_command_leaves_nothing_half_done(
    name, commands, whole, n_kills, tmp_path, record_property
):
    outcomes = killed(commands[name], whole(name), n_kills, tmp_path / "runs")
    record_property("kills", f"{name}: {dict(outcomes)}")
    assert outcomes["killed"] == n_kills
