"""ONNX: integer weights packed at their bits, activations as UINT8 codes below their top.

What runtimes make of a graph decides its form. Before a QuantizeLinear stands an Add or a Min,
never a Clip, which onnxruntime cannot fuse with types below 8 bits, and never a ReLU, which it
drops there. Activations stay in UINT8 with the upper limit set by Min: packed activations came
back wrong from its memory planner up to version 1.30.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from qfa_search.deployment.onnx_graph import BATCH, IMAGE, LOGITS, OnnxGraph
from qfa_search.deployment.plan import InputGrid, LayerPlan, NetworkPlan
from search_spaces.subnet import FLOAT_BITS

if TYPE_CHECKING:
    from onnx import ModelProto

DEFAULT_OPSET = 25
IR_VERSIONS = {25: 13, 21: 10}  # by opset; the lowest that has its types
INTEGER_WIDTHS = {25: (2, 4, 8), 21: (4, 8)}
"""Widths of the integer types that runtimes read weights in, by opset."""


def check_opset(opset: int) -> None:
    """Refuse an opset that no file is written in.

    Raises:
        ValueError: It is neither 21 nor 25.
    """
    if opset not in IR_VERSIONS:
        raise ValueError(f"opset must be one of {sorted(IR_VERSIONS)}, got {opset}")


def stored_bits(w_bits: int, opset: int = DEFAULT_OPSET) -> int:
    """Bits that a weight of `w_bits` takes in the file: the next integer type.

    Raises:
        ValueError: No such opset.
    """
    check_opset(opset)
    return next((width for width in INTEGER_WIDTHS[opset] if width >= w_bits), FLOAT_BITS)


def onnx_model(
    plan: NetworkPlan,
    *,
    opset: int = DEFAULT_OPSET,
    metadata: Mapping[str, str] | None = None,
    in_floating_point: bool = False,
) -> ModelProto:
    """`plan` as a model from normalized images `(N, channels, R, R)` to logits.

    Args:
        plan: The network.
        opset: 25, or 21 for older runtimes, where 2-bit weights take 4 bits.
        metadata: Strings that the file carries.
        in_floating_point: float32 weights with the norm folded and no quantizer: what the file
            is compared with, not an equal network.

    Raises:
        ValueError: Another opset.
    """
    check_opset(opset)
    graph = OnnxGraph()
    values = [IMAGE]  # what layer i reads stands at i
    for index, layer in enumerate(plan.layers):
        value = _layer(graph, layer, index, values, opset, in_floating_point)
        values.append(value)
    graph.node("Identity", [values[-1]], LOGITS)
    return graph.model(
        (BATCH, plan.space.input_channels, plan.resolution, plan.resolution),
        (BATCH, plan.space.n_classes),
        opsets={"": opset},
        ir_version=IR_VERSIONS[opset],
        metadata=metadata or {},
    )


def _layer(
    graph: OnnxGraph,
    layer: LayerPlan,
    index: int,
    values: list[str],
    opset: int,
    in_floating_point: bool,
) -> str:
    spec, x = layer.spec, values[index]
    grid = None if in_floating_point else layer.grid
    is_linear = spec.kind == "linear"
    if layer.pools_input:
        x = graph.node("GlobalAveragePool", [x], f"{index}.p")
    if is_linear:
        x = graph.node("Flatten", [x], f"{index}.p")
    bias = layer.bias
    if grid is not None:
        x = _rounded(graph, grid, index, x)
        if layer.padding == 0:
            bias = layer.bias_counting_from(grid.zero_code)
        elif grid.fraction != 0:  # padding is the real zero, which is no code
            offset = graph.scalar(grid.fraction * grid.scale)
            x = graph.node("Sub", [x, offset], f"{index}.o")
    inputs = [x, _weight(graph, layer, index, opset, in_floating_point)]
    if np.any(bias):
        inputs.append(graph.constant(f"{index}.b", bias.astype(np.float32)))
    if is_linear:
        x = graph.node("Gemm", inputs, f"{index}.c", transB=1)
    else:
        kernel, padding = spec.kernel_size, layer.padding
        x = graph.node(
            "Conv",
            inputs,
            f"{index}.c",
            kernel_shape=[kernel, kernel],
            strides=[spec.stride, spec.stride],
            pads=[padding] * 4,
            dilations=[1, 1],
            group=spec.groups,
        )
    x = activation_node(graph, layer, index, x)
    return combining_node(graph, layer, index, x, values)


def _rounded(graph: OnnxGraph, grid: InputGrid, index: int, x: str) -> str:
    """Input on its grid, in units of the input, counted from the zero code."""
    scale = np.float32(grid.scale)
    if grid.fraction != 0:
        x = graph.node("Add", [x, graph.scalar(grid.fraction * grid.scale)], f"{index}.a")
    # At 8 bits the type ends where the grid does, but a Conv, a Relu and a QuantizeLinear in a
    # row would be fused into one with an int32 bias.
    if grid.bits < 8 or grid.fraction == 0:
        largest = (grid.top - grid.zero_code) * scale
        x = graph.node("Min", [x, graph.scalar(float(largest))], f"{index}.m")
    step, zero = graph.scalar(grid.scale), graph.scalar(grid.zero_code, np.uint8)
    codes = graph.node("QuantizeLinear", [x, step, zero], f"{index}.q")
    return graph.node("DequantizeLinear", [codes, step, zero], f"{index}.d")


def _weight(
    graph: OnnxGraph, layer: LayerPlan, index: int, opset: int, in_floating_point: bool
) -> str:
    if layer.codes is None or in_floating_point:
        return graph.constant(f"{index}.w", layer.folded_weights().astype(np.float32))
    bits = stored_bits(layer.spec.bits.w_bits, opset)
    codes = graph.packed(f"{index}.w", layer.codes, bits)
    if layer.spec.has_norm:
        scale = graph.constant(f"{index}.s", layer.output_scale.astype(np.float32))
        return graph.node("DequantizeLinear", [codes, scale], f"{index}.v", axis=0)
    return graph.node("DequantizeLinear", [codes, graph.scalar(layer.step)], f"{index}.v")


def activation_node(graph: OnnxGraph, layer: LayerPlan, index: int, x: str) -> str:
    """`x` after the layer's activation."""
    activation = layer.spec.activation
    if activation == "relu":
        return graph.node("Relu", [x], f"{index}.r")
    if activation == "hswish":
        return graph.node("HardSwish", [x], f"{index}.r")
    if activation == "hsigmoid":
        return graph.node("HardSigmoid", [x], f"{index}.r", alpha=1 / 6, beta=0.5)
    return x


def combining_node(
    graph: OnnxGraph, layer: LayerPlan, index: int, x: str, values: list[str]
) -> str:
    """`x` after the gate and the residual; `values[i + 1]` is the value of layer i."""
    if layer.gates is not None:
        return graph.node("Mul", [values[layer.gates + 1], x], f"{index}.y")
    if layer.adds is not None:
        return graph.node("Add", [x, values[layer.adds + 1]], f"{index}.y")
    return x
