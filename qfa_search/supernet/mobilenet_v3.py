"""The weight-sharing supernet: one set of weights, run as any subnet of its space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from qfa_search.supernet.chunks import Chunks
from qfa_search.supernet.elastic import ElasticLayer
from search_spaces import LayerSpec, SearchSpace, Subnet, layer_specs

Maps = TypeVar("Maps", Tensor, Chunks)
# Largest spec, kernel sizes, bit widths of weights and of activations.
MakeLayer = Callable[[LayerSpec, Sequence[int], Sequence[int], Sequence[int]], ElasticLayer]


class Supernet(nn.Module):
    """A MobileNetV3-like network with elastic kernel, width, depth, resolution and bits.

    `forward(x, subnet)` always uses batch statistics. Whatever is evaluated, measured or
    exported is a static network made by `extract`.

    Attributes:
        space: The search space.
        layers: An `ElasticLayer` for every layer of the largest subnet, keyed by its name
            with "/" for ".".
    """

    def __init__(self, space: SearchSpace, make_layer: MakeLayer = ElasticLayer) -> None:
        """Random weights from torch's global generator, quantizers set from them."""
        super().__init__()
        self.space = space
        self.layers = nn.ModuleDict(
            {
                key(spec): make_layer(spec, *_elastic_choices(space, spec))
                for spec in layer_specs(space, space.largest())
            }
        )
        self.reset_weight_scales()

    def reset_weight_scales(self) -> None:
        """Set every weight quantizer's step from the weights as they are."""
        for layer in self.layers.values():
            assert isinstance(layer, ElasticLayer)
            layer.reset_weight_scales()

    def layer(self, spec: LayerSpec) -> ElasticLayer:
        """The elastic layer that runs `spec`."""
        layer = self.layers[key(spec)]
        assert isinstance(layer, ElasticLayer)
        return layer

    def columns(self, name: str) -> tuple[int, ...]:
        """Bit widths that the columns of an entry of the state stand for; none if no table."""
        _, layer, tensor = name.split(".", 2)
        elastic = self.layers[layer]
        assert isinstance(elastic, ElasticLayer)
        return elastic.columns(tensor)

    def forward(self, x: Tensor, subnet: Subnet) -> Tensor:
        """Logits of `subnet` for a batch of images, with batch statistics.

        Args:
            x: Images `(N, input_channels, R, R)` at the resolution of `subnet`.
            subnet: Which network to run; bits of 32 leave a layer unquantized.

        Returns:
            Logits `(N, n_classes)`.
        """
        return run_layers(
            x,
            layer_specs(self.space, subnet),
            lambda spec, value: self.layer(spec)(value, spec),
        )


def key(spec: LayerSpec) -> str:
    """Name of the layer as a key of `nn.ModuleDict`, which allows no dots."""
    return spec.name.replace(".", "/")


def run_layers(
    x: Maps, specs: tuple[LayerSpec, ...], run: Callable[[LayerSpec, Maps], Maps]
) -> Maps:
    """The data flow between layers: residuals, squeeze-excite gates and the pooling.

    Elastic and static networks share it, and recalibration with maps in parts; `run(spec, x)`
    computes one layer.
    """
    block, block_input = "", x
    features = x
    for spec in specs:
        if spec.kind == "squeeze_excite":
            if spec.name.endswith("reduce"):
                features, x = x, x.mean((2, 3), keepdim=True)
            x = run(spec, x)
            if spec.name.endswith("expand"):
                x = features * x
            continue
        if spec.block != block:
            block, block_input = spec.block, x
        if spec.name == "feature_mix":
            x = x.mean(3, keepdim=True).mean(2, keepdim=True)
        if spec.kind == "linear":
            x = x.flatten(1)
        x = run(spec, x)
        if spec.name == "stem":
            # A map of one channel has no layout of its own, so this has to follow the stem.
            x = x.contiguous(memory_format=torch.channels_last)
        if spec.adds_residual:
            x = x + block_input
    return x


def _elastic_choices(space: SearchSpace, spec: LayerSpec) -> tuple[tuple[int, ...], ...]:
    """Kernel sizes, and bit widths that the layer has weight and input quantizers for."""
    kernel_sizes: tuple[int, ...] = (spec.kernel_size,)
    if spec.kind == "depthwise" and spec.stage is not None:
        kernel_sizes = space.stages[spec.stage].kernel_sizes
    if spec.kind == "squeeze_excite":
        return kernel_sizes, (), ()
    sides = space.w_bit_choices, space.a_bit_choices
    if spec.name == "stem":
        sides = (space.stem_bits,), (space.stem_bits,)
    elif spec.name == "classifier":
        sides = (space.classifier_bits,), (space.classifier_bits,)
    return kernel_sizes, *(tuple(bits for bits in side if bits <= 8) for side in sides)
