import shutil

import pytest

from benchmarks.layer_instructions import BITS, measured, name
from qfa_search.deployment.emulator import cortex_m
from search_spaces import layer_specs

needs_toolchain = pytest.mark.skipif(
    any(shutil.which(t) is None for t in (cortex_m.COMPILER, cortex_m.EMULATOR)),
    reason=f"no Cortex-M toolchain: apt install {cortex_m.PACKAGES}",
)


@needs_toolchain
def test_every_layer_is_counted_at_every_width(toy_space):
    found = measured(toy_space, kernel_sizes=(3,))
    layers = [spec for spec in layer_specs(toy_space, toy_space.smallest()) if spec.name == "stem"]
    assert name(layers[0]).startswith("stem: 3x3, ")
    for by_bits in found.values():
        assert sorted(by_bits) == sorted(BITS)
        assert all(per_mac > 0.5 for per_mac, _ in by_bits.values())  # two products at most
