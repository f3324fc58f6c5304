"""From supernet and subnet to a static network: plain modules, active slices, own statistics."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qfa_search.quantizers.batchquant import BatchQuant
from qfa_search.quantizers.lsq import LSQ
from qfa_search.supernet.elastic import NORM_EPS, ElasticLayer, activate
from qfa_search.supernet.mobilenet_v3 import Supernet, key, run_layers
from search_spaces import LayerSpec, SearchSpace, Subnet, layer_specs


class StaticLayer(nn.Module):
    """One layer of fixed shape: input quantizer, quantized weight, operation, norm, activation."""

    def __init__(self, spec: LayerSpec) -> None:
        """Make the parts that `spec` asks for; values come from `extract`."""
        super().__init__()
        self.spec = spec
        kernel = (spec.kernel_size,) * 2 if spec.kind != "linear" else ()
        shape = spec.out_channels, spec.in_channels // spec.groups, *kernel
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(spec.out_channels)) if spec.has_bias else None
        is_float = spec.bits.a_bits > 8, spec.bits.w_bits > 8
        self.input_quantizer = (
            nn.Identity()
            if is_float[0]
            else BatchQuant(spec.bits.a_bits, signed=spec.has_signed_input)
        )
        self.weight_quantizer = nn.Identity() if is_float[1] else LSQ(spec.bits.w_bits)
        # Momentum 0: only recalibration writes the running statistics, as in the supernet.
        self.norm = (
            nn.BatchNorm2d(spec.out_channels, eps=NORM_EPS, momentum=0.0)
            if spec.has_norm
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Output of the layer, without the residual addition."""
        return self.finished(self.convolved(x))

    def convolved(self, x: Tensor) -> Tensor:
        """The operation on the quantized input, before the norm."""
        x = self.input_quantizer(x)
        weight = self.weight_quantizer(self.weight)
        spec = self.spec
        if spec.kind == "linear":
            return F.linear(x, weight, self.bias)
        padding = spec.kernel_size // 2
        return F.conv2d(x, weight, self.bias, spec.stride, padding, groups=spec.groups)

    def finished(self, x: Tensor) -> Tensor:
        """What is convolved, after norm and activation."""
        return activate(self.norm(x), self.spec.activation)


class StaticNetwork(nn.Module):
    """One subnet as a network of its own.

    Attributes:
        space: The space it comes from.
        subnet: What it is.
        specs: Its layers in the order they run.
        layers: A `StaticLayer` for each, keyed by name with "/" for ".".
    """

    def __init__(self, space: SearchSpace, subnet: Subnet) -> None:
        """Make the layers of `subnet`; values come from `extract`."""
        super().__init__()
        self.space = space
        self.subnet = subnet
        self.specs = layer_specs(space, subnet)
        self.layers = nn.ModuleDict({key(spec): StaticLayer(spec) for spec in self.specs})

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(N, n_classes)` of images `(N, input_channels, R, R)`."""
        return run_layers(x, self.specs, lambda spec, value: self.layers[key(spec)](value))


@torch.no_grad()
def extract(supernet: Supernet, subnet: Subnet) -> StaticNetwork:
    """`subnet` as a static network in evaluation mode, with copies of the active slices.

    Its running statistics are those that the supernet carries. A supernet trained here carries
    none of use: recalibrate before evaluation.

    Raises:
        ValueError: `subnet` is not a member of the supernet's space.
    """
    supernet.space.layout.encode(subnet)  # raises for a foreign subnet
    network = StaticNetwork(supernet.space, subnet)
    for spec in network.specs:
        layer = network.layers[key(spec)]
        assert isinstance(layer, StaticLayer)
        copy_layer(supernet.layer(spec), layer, spec)
    return network.eval()


@torch.no_grad()
def copy_layer(source: ElasticLayer, target: StaticLayer, spec: LayerSpec) -> None:
    """Write the slice of `source` that `spec` asks for into `target`."""
    out, width = spec.out_channels, spec.in_channels // spec.groups
    target.weight.copy_(source.kernel(spec.kernel_size)[:out, :width])
    if source.bias is not None and target.bias is not None:
        target.bias.copy_(source.bias[:out])
    if isinstance(target.norm, nn.BatchNorm2d):
        gamma, beta = source.norm_parameters(spec)
        target.norm.weight.copy_(gamma)
        target.norm.bias.copy_(beta)
        assert target.norm.running_mean is not None
        assert target.norm.running_var is not None
        target.norm.running_mean.copy_(source.running_mean[:out])
        target.norm.running_var.copy_(source.running_var[:out])
    if isinstance(target.input_quantizer, BatchQuant):
        at = source.a_index(spec)
        target.input_quantizer.alpha.copy_(source.input_alpha[at])
        target.input_quantizer.offset.copy_(source.input_offset[at])
        target.input_quantizer.running_min.copy_(source.running_min[at])
        target.input_quantizer.running_max.copy_(source.running_max[at])
    if isinstance(target.weight_quantizer, LSQ):
        target.weight_quantizer.scale.copy_(source.weight_scale[source.w_index(spec)])
