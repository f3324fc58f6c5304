import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

import search_spaces
from predictors import flash_bytes, ram_bytes, size_bytes
from predictors.c_memory import CODE_BYTES, code_bytes
from qfa_search import ExportError
from qfa_search.deployment.c_source import c_source
from qfa_search.deployment.emulator import cortex_m
from qfa_search.deployment.emulator.cortex_m import cortex_m_sizes, run_on_cortex_m
from qfa_search.deployment.fixed_point import fixed_point_logits
from qfa_search.deployment.integers import integer_plan
from tests.qfa_search.deployment.networks import pixels, random_plan

needs_toolchain = pytest.mark.skipif(
    any(shutil.which(t) is None for t in (cortex_m.COMPILER, cortex_m.EMULATOR)),
    reason=f"no Cortex-M toolchain: apt install {cortex_m.PACKAGES}",
)


def _compiled_by_gcc_12() -> bool:
    version = subprocess.run(
        [cortex_m.COMPILER, "-dumpversion"], capture_output=True, text=True, check=True
    ).stdout
    return version.startswith("12.2")


def _sizes(space, subnet, seed=0):
    plan = integer_plan(random_plan(space, subnet, seed)[1])
    return cortex_m_sizes(*c_source(plan, name="net"), "net")


@needs_toolchain
def test_an_emulated_processor_gives_the_interpreters_logits(toy_space):
    subnet = toy_space.sample(np.random.default_rng(4))
    plan = integer_plan(random_plan(toy_space, subnet, 4)[1])
    images = pixels(toy_space, 5, subnet.resolution)
    source, header = c_source(plan, name="net")
    run = run_on_cortex_m(source, header, "net", images, len(plan.layers))
    assert np.array_equal(run.logits, fixed_point_logits(plan, images))
    assert len(run.layer_instructions) == len(plan.layers)
    # The counter has steps of 40 instructions.
    assert abs(sum(run.layer_instructions) - run.instructions[0]) < 0.05 * run.instructions[0]


@needs_toolchain
@pytest.mark.parametrize("largest_kernel", [5, 7])
@pytest.mark.parametrize("has_gates", [False, True])
def test_the_linker_confirms_flash_and_ram_to_the_byte(toy_space, largest_kernel, has_gates):
    stages = tuple(
        replace(stage, kernel_sizes=(3, largest_kernel), has_se=has_gates)
        for stage in toy_space.stages
    )
    # Code must not depend on the number of classes either.
    space = replace(toy_space, name="sized", stages=stages, n_classes=300 if has_gates else 4)
    subnet = space.sample(np.random.default_rng(0))
    sizes = _sizes(space, subnet)
    assert sizes.constants == flash_bytes(space, subnet) - code_bytes(space)
    assert sizes.ram == ram_bytes(space, subnet)
    if _compiled_by_gcc_12():
        assert sizes.code == CODE_BYTES[largest_kernel, has_gates]


@needs_toolchain
@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion-mnist", "mobilenet-v3-w1.2"])
def test_the_linker_confirms_random_subnets_to_the_byte(name):
    space = search_spaces.load(name)
    rng = np.random.default_rng(0)
    code = set()
    for seed in range(27 if name == "fashion-mnist" else 3):
        subnet = space.sample(rng)
        sizes = _sizes(space, subnet, seed)
        assert sizes.constants == flash_bytes(space, subnet) - code_bytes(space)
        assert sizes.ram == ram_bytes(space, subnet)
        code.add(sizes.code)
    assert len(code) == 1, "the same code for all subnets of a space"


@needs_toolchain
def test_the_smallest_subnet_takes_little_more_flash_than_its_weights():
    space = search_spaces.load("fashion-mnist")
    subnet = space.smallest()
    assert _sizes(space, subnet).flash <= 1.15 * size_bytes(space, subnet)


def test_a_missing_toolchain_names_its_packages(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExportError, match="apt install gcc-arm-none-eabi"):
        cortex_m.check_toolchain()
