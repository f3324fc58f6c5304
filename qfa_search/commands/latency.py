"""`qfa-search latency`: a table of layers from measured networks, or one to fill in."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qfa_search.commands.options import SupernetName

if TYPE_CHECKING:
    from qfa_search.supernet.mobilenet_v3 import Supernet
    from search_spaces import LayerSpec, Subnet


class Target(StrEnum):
    """What latency can be measured on."""

    cortex_m = "cortex-m"
    onnxruntime = "onnxruntime"


def latency(
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="Where the table goes.")],
    target: Annotated[Target | None, typer.Option(help="What to measure on.")] = None,
    supernet: SupernetName = None,
    template: Annotated[
        bool, typer.Option("--template", help="Write all signatures, to fill in milliseconds.")
    ] = False,
    networks: Annotated[
        int | None, typer.Option(help="Random subnets to measure; 12 or 60 by default.")
    ] = None,
    mhz: Annotated[
        float | None,
        typer.Option(
            help="Clock of the Cortex-M: milliseconds at one instruction a cycle, in place of "
            "instructions."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Which subnets are measured; 0.")] = None,
) -> None:
    """Measure random subnets on a target and write what every layer of the space takes.

    A model of layers is fitted to the measurements and fills the table for --latency-table: in
    millions of instructions for --max-minstructions, or in milliseconds for --max-latency-ms. With
    --template the table is for you to fill in.
    """
    if template and (networks is not None or seed is not None):
        raise typer.BadParameter("--template measures nothing: it goes without --networks, --seed")
    if template == (target is not None):
        raise typer.BadParameter("give --target or --template")
    if networks is not None and networks < 5:
        raise typer.BadParameter("--networks needs at least 5")
    if mhz is not None and (target is not Target.cortex_m or not 0 < mhz < float("inf")):
        raise typer.BadParameter("--mhz needs a number above 0, and --target cortex-m")

    from predictors.files import check_place
    from qfa_search.supernet.files import resolve_supernet

    check_place(out)
    if target is None:
        from predictors.files import write_text
        from predictors.latency import needed_signatures

        names = needed_signatures(resolve_supernet(supernet).space())
        write_text(out, "\n".join(["signature,ms", *(f"{name}," for name in names)]) + "\n")
        typer.echo(f"{out}: {len(names)} layers, milliseconds are for you to fill in")
        return

    import numpy as np

    from predictors.latency import Unit
    from predictors.latency_model import fit_latency_model
    from qfa_search.deployment.emulator.cortex_m import check_toolchain
    from qfa_search.deployment.formats import export_format
    from qfa_search.supernet.storage import load_supernet

    if target is Target.cortex_m:
        check_toolchain()
    else:
        for to_verify in (False, True):
            export_format("onnx", out).check_installed(to_verify=to_verify)
    loaded = load_supernet(supernet)
    rng = np.random.default_rng(seed or 0)
    measure = _layers_on_cortex_m if target is Target.cortex_m else _networks_in_onnxruntime
    unit: Unit = "minstructions" if target is Target.cortex_m and mhz is None else "ms"
    n = networks or (12 if target is Target.cortex_m else 60)
    subnets = [loaded.space.smallest(), loaded.space.largest()]
    subnets += [loaded.space.sample(rng) for _ in range(n - len(subnets))]
    groups: list[tuple[LayerSpec, ...]] = []
    times: list[float] = []
    numbers: list[int] = []
    for number, subnet in enumerate(subnets):
        found, measured = measure(loaded, subnet)
        groups += found
        times += measured if mhz is None else [1000 * count / mhz for count in measured]
        numbers += [number] * len(found)
    model = fit_latency_model(groups, times, numbers)
    table = model.table(loaded.space, unit)
    table.save(out)
    layers = ""
    if target is Target.cortex_m:
        layers = f"{len(groups)} layers of "
    typer.echo(
        f"{out}: {len(table.values)} layers, fitted to {layers}{n} measured networks; networks "
        f"that the fit had not seen were foretold to {100 * model.network_error:.1f} % on average"
        + (f", their layers to {100 * model.held_out_error:.1f} %" if layers else "")
    )
    limit = "--max-latency-ms MS" if unit == "ms" else "--max-minstructions M"
    of = "" if supernet is None else f"--supernet {shlex.quote(supernet)} "
    typer.echo(f"use it: qfa-search {of}{limit} --latency-table {shlex.quote(str(out))}")


def _layers_on_cortex_m(
    supernet: Supernet, subnet: Subnet
) -> tuple[list[tuple[LayerSpec, ...]], list[float]]:
    from qfa_search.deployment.timing import cortex_m_instructions, plan_for_timing

    layers, instructions = cortex_m_instructions(plan_for_timing(supernet, subnet))
    return [(layer,) for layer in layers], [count / 1e6 for count in instructions]


def _networks_in_onnxruntime(
    supernet: Supernet, subnet: Subnet
) -> tuple[list[tuple[LayerSpec, ...]], list[float]]:
    from qfa_search.deployment.timing import onnxruntime_ms, plan_for_timing

    plan = plan_for_timing(supernet, subnet)
    return [tuple(layer.spec for layer in plan.layers)], [onnxruntime_ms(plan)]
