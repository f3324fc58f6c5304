"""Engines that run an exported file and tell the input codes of every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qfa_search.deployment.comparison import Engine, EngineRun
from qfa_search.deployment.onnx_graph import IMAGE, LOGITS
from qfa_search.deployment.plan import NetworkPlan
from qfa_search.deployment.program_file import check_program
from qfa_search.errors import ExportError, is_full_memory, says_full_memory

if TYPE_CHECKING:
    import onnxruntime
    import torch
    from onnx import GraphProto, ModelProto

FATAL = 4  # the least that onnxruntime tells by itself; what it raises says the rest
GRAPH_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""How far onnxruntime rewrites a graph: each level fuses other nodes, so each is run."""


def onnx_session(
    model: bytes, level: str = "all", *, name: str = ""
) -> onnxruntime.InferenceSession:
    """A session of onnxruntime on the CPU.

    Args:
        model: The file's content.
        level: One of `GRAPH_LEVELS`.
        name: What to call the file in an error.

    Raises:
        ExportError: The runtime does not load it.
        MemoryError: Memory is full.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, GRAPH_LEVELS[level]
    )
    options.log_severity_level = FATAL
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has a dozen classes without a common one
        version = onnxruntime.__version__
        is_old = tuple(map(int, version.split(".")[:2])) < (1, 24)
        hint = "; runtimes before 1.24 need --opset 21" if is_old else ""
        what = f"onnxruntime {version} does not load {name or 'the model'}"
        raise _failure(what, error, hint) from error


def run_onnx(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[str],
    images: NDArray[np.float32],
    *,
    name: str = "",
) -> list[NDArray[Any]]:
    """The outputs of a session of a file that this package wrote.

    Args:
        session: Of `onnx_session`.
        outputs: Their names.
        images: Its input.
        name: What to call the file in an error.

    Raises:
        ExportError: The runtime does not run it.
        MemoryError: Memory is full.
    """
    try:
        found: list[NDArray[Any]] = session.run(list(outputs), {IMAGE: images})
    except Exception as error:  # as above
        raise _failure(f"onnxruntime does not run {name or 'the model'}", error) from error
    return found


def _failure(what: str, error: Exception, hint: str = "") -> ExportError | MemoryError:
    """The error to raise for one of the runtime."""
    told = " ".join(str(error).split())[:300]
    is_full = isinstance(error, MemoryError) or says_full_memory(told)
    return (MemoryError if is_full else ExportError)(f"{what}: {told}{hint}")


def onnx_engine(path: Path, plan: NetworkPlan, level: str) -> Engine:
    """An ONNX file in onnxruntime; codes come from a copy with more outputs, logits from it."""
    content = path.read_bytes()
    model = _onnx_model(path, content)
    names = {f"{i}.q": layer.name for i, layer in enumerate(plan.layers) if layer.grid is not None}
    _check_tensors(path, model.graph, names)
    for name in names:
        model.graph.output.add(name=name)
    told = onnx_session(model.SerializeToString(), level, name=str(path))
    itself = onnx_session(content, level, name=str(path))

    def run(images: NDArray[np.float32]) -> EngineRun:
        *codes, _ = run_onnx(told, [*names, LOGITS], images, name=str(path))
        (logits,) = run_onnx(itself, [LOGITS], images, name=str(path))
        return EngineRun(dict(zip(names.values(), codes, strict=True)), logits)

    return run


def _onnx_model(path: Path, content: bytes) -> ModelProto:
    """The model of a file's content.

    Raises:
        ExportError: It is none.
    """
    import onnx

    try:
        return onnx.load_from_string(content)
    except Exception as error:  # protobuf's, which has no stable place
        raise _unread(path, "ONNX file", error) from error


def _unread(path: Path, kind: str, error: Exception) -> Exception:
    """The error to raise for one of a reader."""
    if is_full_memory(error):
        return error
    return ExportError(f"{path} is no readable {kind}: {' '.join(str(error).split())[:300]}")


def _check_tensors(path: Path, graph: GraphProto, names: Iterable[str]) -> None:
    """Without the codes of every layer a file cannot be of this network."""
    missing = set(names) - {name for node in graph.node for name in node.output}
    if missing:
        raise ExportError(
            f"{path} is no export of this network by this version: it has no tensor {min(missing)}"
        )


def onnx_engines(path: Path, plan: NetworkPlan) -> dict[str, Engine]:
    """One for each level of onnxruntime's graph optimization."""
    return {f"onnxruntime ({level})": onnx_engine(path, plan, level) for level in GRAPH_LEVELS}


def qonnx_engine(path: Path, plan: NetworkPlan) -> Engine:
    """A QONNX file in the executor of the qonnx package."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    grids = {
        f"{i}.q": (layer.name, layer.grid)
        for i, layer in enumerate(plan.layers)
        if layer.grid is not None
    }
    content = path.read_bytes()
    _check_tensors(path, _onnx_model(path, content).graph, grids)
    wrappers: dict[int, Any] = {}

    def wrapper(n: int) -> Any:
        if n not in wrappers:
            model = _onnx_model(path, content)
            for value in (*model.graph.input, *model.graph.output):
                value.type.tensor_type.shape.dim[0].dim_value = n
            wrappers[n] = ModelWrapper(model).transform(InferShapes())
        return wrappers[n]

    def run(images: NDArray[np.float32]) -> EngineRun:
        values = execute_onnx(wrapper(len(images)), {IMAGE: images}, return_full_exec_context=True)
        codes = {
            name: np.rint(values[tensor] / grid.scale).astype(np.int64)
            for tensor, (name, grid) in grids.items()
        }
        return EngineRun(codes, values[LOGITS])

    return run


def torch_program_engine(path: Path, plan: NetworkPlan) -> Engine:
    """A program of torch.export; its rounding operations give the codes."""
    import torch

    check_program(path)
    try:
        module = torch.export.load(path).module(check_guards=False)
    except Exception as error:  # readers of damaged archives raise errors of any kind
        raise _unread(path, "program of torch.export", error) from error
    assert isinstance(module, torch.fx.GraphModule)
    names = [layer.name for layer in plan.layers if layer.grid is not None]
    n_rounded = sum(node.target is torch.ops.aten.round.default for node in module.graph.nodes)
    if n_rounded != len(names):
        raise ExportError(
            f"{path} is no export of this network by this version: it rounds {n_rounded} times, "
            f"not {len(names)}"
        )
    rounded: list[NDArray[np.float32]] = []

    class Reading(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            value = super().run_node(n)
            if n.target is torch.ops.aten.round.default:
                rounded.append(value.numpy())
            return value

    reader = Reading(module)

    @torch.inference_mode()
    def run(images: NDArray[np.float32]) -> EngineRun:
        rounded.clear()
        logits = reader.run(torch.from_numpy(images))
        codes = {name: value.astype(np.int64) for name, value in zip(names, rounded, strict=True)}
        return EngineRun(codes, logits.numpy())

    return run


def planned_engine(plan: NetworkPlan) -> Engine:
    """The plan itself as a torch module."""
    import torch

    from qfa_search.deployment.torch_program import PlannedLayer, PlannedNetwork

    network = PlannedNetwork(plan).eval()
    codes: dict[str, NDArray[np.integer]] = {}

    def read(name: str) -> Callable[[object, object, torch.Tensor], None]:
        def keep(_: object, __: object, output: torch.Tensor) -> None:
            codes[name] = output.numpy().astype(np.int64)

        return keep

    for layer in network.layers:
        assert isinstance(layer, PlannedLayer)
        if layer.rounding is not None:
            layer.rounding.register_forward_hook(read(layer.spec.name))

    @torch.inference_mode()
    def run(images: NDArray[np.float32]) -> EngineRun:
        logits = network(torch.from_numpy(images)).numpy()
        return EngineRun(dict(codes), logits)

    return run
