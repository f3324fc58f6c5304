"""`qfa-search` without a command: the search."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from qfa_search.commands.progress import measuring_progress, search_progress
from qfa_search.commands.search_report import report
from qfa_search.evolution.config import DEFAULT_CROSSOVER_PROB, DEFAULT_MUTATION_PROB, SearchConfig
from qfa_search.front.objectives import Limits

LIMITS = "Limits (hard: no member of the front exceeds one)"
SEARCH = "Search"
MEASURING = "Measuring"
RESULT = "Result"
MEASURING_OPTIONS = ("data", "jobs", "device", "backend", "scheduler")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"qfa-search {version('qfa-search')}")
        raise typer.Exit


def search(
    ctx: typer.Context,
    supernet: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Supernet: cifar10 (the default), fashion-mnist, a file or a folder.",
        ),
    ] = None,
    predictor: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Accuracy predictor; the supernet's by default."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Search space; the predictor's by default."),
    ] = None,
    max_mflops: Annotated[
        float | None,
        typer.Option(help="8-bit-equivalent MACs, millions.", rich_help_panel=LIMITS),
    ] = None,
    max_published_mflops: Annotated[
        float | None,
        typer.Option(help="The same by the published cost table.", rich_help_panel=LIMITS),
    ] = None,
    max_gbitops: Annotated[
        float | None, typer.Option(help="Bit operations, 1e9.", rich_help_panel=LIMITS)
    ] = None,
    max_size_kb: Annotated[
        float | None, typer.Option(help="Packed weights, 1000 bytes.", rich_help_panel=LIMITS)
    ] = None,
    max_activation_kb: Annotated[
        float | None,
        typer.Option(help="Peak of live activations, 1000 bytes.", rich_help_panel=LIMITS),
    ] = None,
    max_flash_kb: Annotated[
        float | None, typer.Option(help="Flash of the C file, 1000 bytes.", rich_help_panel=LIMITS)
    ] = None,
    max_ram_kb: Annotated[
        float | None,
        typer.Option(help="RAM of the C file without stack, 1000 bytes.", rich_help_panel=LIMITS),
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(help="Milliseconds by --latency-table.", rich_help_panel=LIMITS),
    ] = None,
    max_minstructions: Annotated[
        float | None,
        typer.Option(help="Millions of instructions by --latency-table.", rich_help_panel=LIMITS),
    ] = None,
    min_top1: Annotated[
        float | None, typer.Option(help="Predicted accuracy, percent.", rich_help_panel=LIMITS)
    ] = None,
    latency_table: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="What each layer takes.", rich_help_panel=LIMITS),
    ] = None,
    objectives: Annotated[
        str,
        typer.Option(
            help="Two or three of top1, mflops, published_mflops, gbitops, size_kb, "
            "activation_kb, flash_kb, ram_kb, latency_ms, minstructions.",
            rich_help_panel=SEARCH,
        ),
    ] = "top1,mflops",
    population: Annotated[
        int, typer.Option(help="Subnets per generation.", rich_help_panel=SEARCH)
    ] = 500,
    generations: Annotated[int, typer.Option(help="Generations.", rich_help_panel=SEARCH)] = 200,
    seed: Annotated[int, typer.Option(help="Of every random choice.", rich_help_panel=SEARCH)] = 0,
    crossover_prob: Annotated[
        float,
        typer.Option(
            help="Chance of a differing gene to be exchanged; published: 0.007.",
            rich_help_panel=SEARCH,
        ),
    ] = DEFAULT_CROSSOVER_PROB,
    mutation_prob: Annotated[
        float,
        typer.Option(help="Chance of a gene to change; published: 0.02.", rich_help_panel=SEARCH),
    ] = DEFAULT_MUTATION_PROB,
    measure: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Measure N members on the validation split of --data; report the front of these "
            "and of all that was measured before.",
            rich_help_panel=MEASURING,
        ),
    ] = None,
    refine: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="K times measure members (16, or N of --measure), fit the predictor again with "
            "them, search again; report the measured ones.",
            rich_help_panel=MEASURING,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help="Images for --measure and --refine; known for a named data set.",
            rich_help_panel=MEASURING,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that measure; fewer where memory is short.",
            rich_help_panel=MEASURING,
        ),
    ] = 1,
    device: Annotated[
        str,
        typer.Option(
            help="cpu, cuda, cuda:N, or auto: the GPU where there is one.",
            rich_help_panel=MEASURING,
        ),
    ] = "auto",
    backend: Annotated[
        str,
        typer.Option(help="loky (local processes) or dask (a cluster).", rich_help_panel=MEASURING),
    ] = "loky",
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR", help="Address of the Dask scheduler.", rich_help_panel=MEASURING
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the result; a new runs/search-NNN by default.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the search that was killed in --out.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print front.json.", rich_help_panel=RESULT)
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="No progress, no notes.", rich_help_panel=RESULT),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Find quantized networks for a budget.

    Without a command it searches: architecture and bit widths of every layer at once, inside
    hard limits. It prints the front and saves front.json, front.csv, front.png and
    report.html, a page to look at. After Ctrl-C
    the same command with --resume goes on, if --out was given.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_search_options(ctx)
        return
    try:
        config = SearchConfig(
            limits=Limits(
                max_mflops=max_mflops,
                max_published_mflops=max_published_mflops,
                max_gbitops=max_gbitops,
                max_size_kb=max_size_kb,
                max_activation_kb=max_activation_kb,
                max_flash_kb=max_flash_kb,
                max_ram_kb=max_ram_kb,
                max_latency_ms=max_latency_ms,
                max_minstructions=max_minstructions,
                min_top1=min_top1,
            ),
            objectives=tuple(name.strip() for name in objectives.split(",")),
            population=population,
            generations=generations,
            seed=seed,
            crossover_prob=crossover_prob,
            mutation_prob=mutation_prob,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for option, number in (("--measure", measure), ("--refine", refine)):
        if number is not None and (number < 1 or (predictor and not supernet)):
            raise typer.BadParameter(
                f"{option} needs a number of at least 1, and with --predictor also --supernet"
            )
    if measure is None and refine is None:
        _refuse(ctx, MEASURING_OPTIONS, "is for measuring: add --measure N or --refine K")
    if resume and out is None:
        raise typer.BadParameter("--resume needs --out, the folder of the search to go on with")

    from qfa_search.front.folder import result_folder, state_name

    if measure is not None or refine is not None:
        from qfa_search.measuring.device import resolve_device
        from qfa_search.measuring.parallel import Workers
        from qfa_search.measuring.sampling import SAMPLES_NAME
        from qfa_search.measuring.store import SampleStore
        from qfa_search.supernet.files import resolve_supernet

        # Before the search: what is wrong shows now.
        resolve_device(device)
        Workers(jobs=jobs, backend=backend, scheduler=scheduler)
        files = resolve_supernet(supernet)
        data = files.data(data)
    with result_folder(out, resume=resume) as folder, _telling_how_to_go_on(out):
        if measure is not None and os.path.lexists(folder / SAMPLES_NAME):
            SampleStore(folder / SAMPLES_NAME, files.space())
        if refine is not None:
            from qfa_search.commands.refinement import run_refinement

            front = run_refinement(
                config,
                data=data,
                rounds=refine,
                folder=folder,
                supernet=supernet,
                predictor=predictor,
                space=space,
                latency_table=latency_table,
                batch=measure,
                jobs=jobs,
                device=device,
                backend=backend,
                scheduler=scheduler,
                resume=resume,
                quiet=quiet,
            )
        else:
            from qfa_search.evolution.search import search as run_search

            with search_progress(quiet) as callback:
                front = run_search(
                    config,
                    supernet=supernet,
                    predictor=predictor,
                    space=space,
                    latency_table=latency_table,
                    # Without --out there is nothing that a later command could name.
                    state_file=folder / state_name() if out is not None else None,
                    resume=resume,
                    callback=callback,
                )
            if measure is not None:
                from qfa_search.evolution.measured import measured_front

                with (
                    _ended_by_a_miss(folder),
                    measuring_progress("measuring", quiet) as (on_start, on_sample),
                ):
                    front = measured_front(
                        front,
                        measure,
                        supernet=supernet,
                        predictor=predictor,
                        data=data,
                        latency_table=latency_table,
                        folder=folder,
                        jobs=jobs,
                        device=device,
                        backend=backend,
                        scheduler=scheduler,
                        on_start=on_start,
                        on_sample=on_sample,
                    )
        report(front, folder, as_json=as_json, quiet=quiet)


@contextmanager
def _ended_by_a_miss(folder: Path) -> Iterator[None]:
    """Where no measured subnet reaches min_top1 there is no search to go on with."""
    from qfa_search.errors import InfeasibleBudgetError
    from qfa_search.front.folder import remove_states

    try:
        yield
    except InfeasibleBudgetError:
        remove_states(folder)  # what was measured stays
        raise


@contextmanager
def _telling_how_to_go_on(folder: Path | None) -> Iterator[None]:
    """Say after Ctrl-C how to resume the search whose state `folder` keeps, if it keeps one."""
    try:
        yield
    except KeyboardInterrupt:
        from qfa_search.front.folder import state_files

        if folder is None or not state_files(folder):
            raise
        typer.echo(
            f"interrupted; {folder} keeps the search: the same command with --out "
            f"{shlex.quote(str(folder))} --resume goes on with it",
            err=True,
        )
        raise typer.Exit(130) from None


def _refuse_search_options(ctx: typer.Context) -> None:
    """A search option before a command would be ignored silently."""
    command = ctx.invoked_subcommand
    why = f"before {command} is an option of the search: put options of {command} after it"
    _refuse(ctx, ctx.params, why)


def _refuse(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options, if they were given, for a reason that begins with the option."""
    for name in names:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + {"as_json": "json"}.get(name, name).replace("_", "-")
            raise typer.BadParameter(f"{option} {why}")
