"""An ONNX graph as it is being written: short names, shared scalars, nothing that takes room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qfa_search.deployment.packing import pack

if TYPE_CHECKING:
    from onnx import ModelProto

IMAGE, LOGITS = "image", "logits"
BATCH = "N"
Attribute = int | float | str | Sequence[int]


class OnnxGraph:
    """Nodes and constants, in order.

    Names of nodes and long names of tensors would be a tenth of a small file.
    """

    def __init__(self) -> None:
        """Start empty."""
        from onnx import GraphProto

        self._graph = GraphProto(name="qfa-search")
        self._shared: dict[tuple[str, bytes], str] = {}

    def node(
        self, op: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Attribute
    ) -> str:
        """Append a node; the name of its output comes back."""
        from onnx import helper

        node = helper.make_node(op, list(inputs), [output], domain=domain)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        self._graph.node.append(node)
        return output

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """A constant tensor called `name`."""
        from onnx import numpy_helper

        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def scalar(self, value: float | int, dtype: type[np.generic] = np.float32) -> str:
        """A scalar constant; equal ones are stored once."""
        array = np.array(value, dtype=dtype)
        at = array.dtype.str, array.tobytes()
        if at not in self._shared:
            self._shared[at] = self.constant(f"c{len(self._shared)}", array)
        return self._shared[at]

    def packed(self, name: str, codes: NDArray[np.int8], bits: int) -> str:
        """Integer codes at 2, 4 or 8 bits as a constant."""
        from onnx import TensorProto

        kinds = {2: TensorProto.INT2, 4: TensorProto.INT4, 8: TensorProto.INT8}
        tensor = TensorProto(
            name=name, data_type=kinds[bits], dims=codes.shape, raw_data=pack(codes, bits)
        )
        self._graph.initializer.append(tensor)
        return name

    def model(
        self,
        image_shape: Sequence[int | str],
        logits_shape: Sequence[int | str],
        *,
        opsets: Mapping[str, int],
        ir_version: int,
        metadata: Mapping[str, str],
    ) -> ModelProto:
        """The graph from image to logits as a model, checked by onnx.

        Args:
            image_shape: Of the float32 input; a string is a size that stays open.
            logits_shape: Of the float32 output.
            opsets: Version of each domain.
            ir_version: Of the file; onnx's default is refused by runtimes a few months old.
            metadata: Strings by key.
        """
        from importlib.metadata import version

        from onnx import TensorProto, helper

        self._graph.input.append(
            helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, image_shape)
        )
        self._graph.output.append(
            helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, logits_shape)
        )
        model = helper.make_model(
            self._graph,
            opset_imports=[helper.make_opsetid(domain, n) for domain, n in opsets.items()],
            ir_version=ir_version,
            producer_name="qfa-search",
            producer_version=version("qfa-search"),
        )
        helper.set_model_props(model, dict(metadata))
        return model
