"""The formats that a network can be written in, each with the engines that prove it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from predictors import c_memory
from qfa_search.deployment.comparison import Batches, Comparison, Engine
from qfa_search.deployment.plan import NetworkPlan
from qfa_search.errors import ExportError
from search_spaces import SearchSpace, Subnet

if TYPE_CHECKING:
    from qfa_search.supernet.extract import StaticNetwork

DEFAULT_OPSET = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What a writer may be told.

    Attributes:
        opset: Of an ONNX file.
        metadata: Strings that the file carries, where it can.
    """

    opset: int = DEFAULT_OPSET
    metadata: Mapping[str, str] = field(default_factory=dict)


Compare = Callable[["StaticNetwork", NetworkPlan, Path, Batches], tuple[Comparison, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """One kind of file.

    Attributes:
        name: What the user calls it.
        suffix: Ending of its file.
        write: Writes the plan to a path; what comes back are the files, that one first.
        compare: Runs the file at a path beside the network it was made of.
        stored_bits: Bits that a weight of so many takes in the file.
        write_packages: What writing needs beside the core install.
        verify_packages: What running needs.
        beside: Endings of further files of the same name.
        n_images: Validation images that it is verified on unless told otherwise.
        check_file: Raises a ValueError for a path that the file cannot have.
        check_subnet: Raises a ValueError for a subnet that it cannot hold.
    """

    name: str
    suffix: str
    write: Callable[[NetworkPlan, Path, ExportOptions], tuple[Path, ...]]
    compare: Compare
    stored_bits: Callable[[int, ExportOptions], int]
    write_packages: tuple[str, ...] = ()
    verify_packages: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    n_images: int = 500
    check_file: Callable[[Path], None] = lambda file: None
    check_subnet: Callable[[SearchSpace, Subnet], object] = lambda space, subnet: None

    def check(self, file: Path, options: ExportOptions, *, to_verify: bool) -> None:
        """Refuse early what writing or verifying would refuse late.

        Raises:
            ExportError: A package is missing.
            ValueError: The format has no such option or no such file.
        """
        self.check_file(file)
        self.stored_bits(8, options)
        self.check_installed(to_verify=False)
        if to_verify:
            self.check_installed(to_verify=True)

    def check_installed(self, *, to_verify: bool) -> None:
        """Raise an ExportError that names the extra if a package is missing."""
        wanted = self.write_packages + (self.verify_packages if to_verify else ())
        check_packages(f"{'running' if to_verify else 'writing'} {self.name} files", wanted)


def check_packages(work: str, wanted: Sequence[str]) -> None:
    """Raise an ExportError that names the extra if a package that `work` needs is missing."""
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise ExportError(f"{work} needs {' and '.join(missing)}: pip install 'qfa-search[export]'")


def export_format(name: str | None, file: Path) -> ExportFormat:
    """The format called `name`; by the ending of `file` if None.

    Raises:
        ValueError: There is none.
    """
    formats = {found.name: found for found in FORMATS}
    if name is None:
        by_suffix = {found.suffix: found for found in reversed(FORMATS)}
        if file.suffix not in by_suffix:
            raise ValueError(
                f"no format is known by the ending of {file}: give one of {', '.join(formats)}"
            )
        return by_suffix[file.suffix]
    if name not in formats:
        raise ValueError(f"format must be one of {', '.join(formats)}, got {name!r}")
    return formats[name]


def _replayed(engines: Callable[[Path, NetworkPlan], Mapping[str, Engine]]) -> Compare:
    """A comparison of integer codes, layer by layer."""

    def compare(
        network: StaticNetwork, plan: NetworkPlan, file: Path, batches: Batches
    ) -> tuple[Comparison, ...]:
        from qfa_search.deployment.replay import replay

        return replay(network, plan, engines(file, plan), batches)

    return compare


def _write_onnx(plan: NetworkPlan, path: Path, options: ExportOptions) -> tuple[Path, ...]:
    from qfa_search.deployment.onnx_file import onnx_model

    model = onnx_model(plan, opset=options.opset, metadata=options.metadata)
    path.write_bytes(model.SerializeToString())
    return (path,)


def _onnx_bits(w_bits: int, options: ExportOptions) -> int:
    from qfa_search.deployment.onnx_file import stored_bits

    return stored_bits(w_bits, options.opset)


def _onnx_engines(path: Path, plan: NetworkPlan) -> Mapping[str, Engine]:
    from qfa_search.deployment.engines import onnx_engines

    return onnx_engines(path, plan)


def _write_qonnx(plan: NetworkPlan, path: Path, options: ExportOptions) -> tuple[Path, ...]:
    from qfa_search.deployment.qonnx_file import qonnx_model

    path.write_bytes(qonnx_model(plan, metadata=options.metadata).SerializeToString())
    return (path,)


def _qonnx_engines(path: Path, plan: NetworkPlan) -> Mapping[str, Engine]:
    from qfa_search.deployment.engines import qonnx_engine

    return {"qonnx": qonnx_engine(path, plan)}


def _write_program(plan: NetworkPlan, path: Path, options: ExportOptions) -> tuple[Path, ...]:
    from qfa_search.deployment.torch_program import save_program

    save_program(plan, path, options.metadata)
    return (path,)


def _program_engines(path: Path, plan: NetworkPlan) -> Mapping[str, Engine]:
    from qfa_search.deployment.engines import torch_program_engine

    return {"torch program": torch_program_engine(path, plan)}


def _write_plan(plan: NetworkPlan, path: Path, options: ExportOptions) -> tuple[Path, ...]:
    from qfa_search.deployment.plan_file import save_plan

    save_plan(plan, path)
    return (path,)


def _plan_engines(path: Path, plan: NetworkPlan) -> Mapping[str, Engine]:
    from qfa_search.deployment.engines import planned_engine
    from qfa_search.deployment.plan_file import load_plan

    stored = load_plan(path)
    if (stored.space, stored.subnet) != (plan.space, plan.subnet):
        raise ExportError(f"{path} is no export of this network: it is of another subnet")
    return {"plan in torch": planned_engine(stored)}


def _write_c(plan: NetworkPlan, path: Path, options: ExportOptions) -> tuple[Path, ...]:
    from qfa_search.deployment.c_source import write_c

    write_c(plan, path)
    return path, path.with_suffix(".h")


def _check_c_file(file: Path) -> None:
    from qfa_search.deployment.c_source import NAME

    if file.suffix != ".c":
        raise ValueError(f"a C file ends in .c and its header in .h, got {file.name}")
    if not NAME.fullmatch(file.stem):
        raise ValueError(
            f"functions are called as the file, and {file.stem!r} is no name in C: use letters, "
            "digits and _"
        )


def _compare_c(
    network: StaticNetwork, plan: NetworkPlan, file: Path, batches: Batches
) -> tuple[Comparison, ...]:
    from qfa_search.deployment.c_comparison import compare_c

    return compare_c(network, plan, file, batches)


FORMATS = (
    ExportFormat(
        name="onnx",
        suffix=".onnx",
        write=_write_onnx,
        compare=_replayed(_onnx_engines),
        stored_bits=_onnx_bits,
        write_packages=("onnx",),
        verify_packages=("onnxruntime",),
    ),
    ExportFormat(
        name="qonnx",
        suffix=".onnx",
        write=_write_qonnx,
        compare=_replayed(_qonnx_engines),
        stored_bits=lambda w_bits, options: 32,
        write_packages=("onnx",),
        verify_packages=("qonnx",),
        n_images=100,
    ),
    ExportFormat(
        name="torch",
        suffix=".pt2",
        write=_write_program,
        compare=_replayed(_program_engines),
        stored_bits=lambda w_bits, options: max(w_bits, 8),
    ),
    ExportFormat(
        name="npz",
        suffix=".npz",
        write=_write_plan,
        compare=_replayed(_plan_engines),
        stored_bits=lambda w_bits, options: max(w_bits, 8),
    ),
    ExportFormat(
        name="c",
        suffix=".c",
        write=_write_c,
        compare=_compare_c,
        beside=(".h",),
        check_file=_check_c_file,
        check_subnet=c_memory.flash_bytes,
        stored_bits=lambda w_bits, options: c_memory.stored_bits(w_bits),
    ),
)
