"""The formats that a network can be written in, each with the engines that prove it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from qfa_search.deployment.plan import NetworkPlan
from qfa_search.deployment.replay import Engine, ReplayLimits
from qfa_search.errors import ExportError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """One kind of file.

    Attributes:
        name: What the user calls it.
        suffix: Ending of its file.
        write: Writes the plan to a path; what comes back are the files, that one first.
        engines: Runs the file at a path, by name.
        stored_bits: Bits that a weight of so many takes in the file.
        write_packages: What writing needs beside the core install.
        verify_packages: What running needs.
        n_images: Validation images that it is verified on unless told otherwise.
        limits: What may differ.
    """

    name: str
    suffix: str
    write: Callable[[NetworkPlan, Path, ExportOptions], tuple[Path, ...]]
    engines: Callable[[Path, NetworkPlan], Mapping[str, Engine]]
    stored_bits: Callable[[int, ExportOptions], int]
    write_packages: tuple[str, ...] = ()
    verify_packages: tuple[str, ...] = ()
    n_images: int = 500
    limits: ReplayLimits = field(default_factory=ReplayLimits)

    def check(self, options: ExportOptions, *, to_verify: bool) -> None:
        """Refuse early what writing or verifying would refuse late.

        Raises:
            ExportError: A package is missing.
            ValueError: The format has no such option.
        """
        self.stored_bits(8, options)
        self.check_installed(to_verify=False)
        if to_verify:
            self.check_installed(to_verify=True)

    def check_installed(self, *, to_verify: bool) -> None:
        """Raise an ExportError that names the extra if a package is missing."""
        wanted = self.write_packages + (self.verify_packages if to_verify else ())
        missing = [name for name in wanted if find_spec(name) is None]
        if missing:
            raise ExportError(
                f"{'verifying' if to_verify else 'writing'} {self.name} needs "
                f"{' and '.join(missing)}: pip install 'qfa-search[export]'"
            )


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

    return {"plan in torch": planned_engine(load_plan(path))}


FORMATS = (
    ExportFormat(
        name="onnx",
        suffix=".onnx",
        write=_write_onnx,
        engines=_onnx_engines,
        stored_bits=_onnx_bits,
        write_packages=("onnx",),
        verify_packages=("onnxruntime",),
    ),
    ExportFormat(
        name="qonnx",
        suffix=".onnx",
        write=_write_qonnx,
        engines=_qonnx_engines,
        stored_bits=lambda w_bits, options: 32,
        write_packages=("onnx",),
        verify_packages=("qonnx",),
        n_images=100,
    ),
    ExportFormat(
        name="torch",
        suffix=".pt2",
        write=_write_program,
        engines=_program_engines,
        stored_bits=lambda w_bits, options: max(w_bits, 8),
    ),
    ExportFormat(
        name="npz",
        suffix=".npz",
        write=_write_plan,
        engines=_plan_engines,
        stored_bits=lambda w_bits, options: max(w_bits, 8),
    ),
)
