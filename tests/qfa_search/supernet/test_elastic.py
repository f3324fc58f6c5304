import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from qfa_search.quantizers.functional import lsq_initial_scale
from qfa_search.supernet.elastic import ElasticLayer
from qfa_search.supernet.extract import StaticLayer, copy_layer
from search_spaces import LayerBits, LayerSpec
from tests.reference import check_files

BITS = (2, 3, 4, 8)
KINDS = {"point": "conv", "point_nobn": "conv", "linear": "linear"}


def _cases():
    """Every case of every file as a parameter: the file and the number of the case."""
    return [
        pytest.param(file.values[0], i, id=f"{file.id}-{i}")
        for file in check_files("reference/layer_cases.npz")
        for i in range(_n_cases(file.values[0]))
    ]


def _n_cases(path):
    if not path.is_file():  # while it is being recorded
        return 0
    with np.load(path) as cases:
        return sum(name.endswith("_kind") for name in cases.files)


@functools.cache
def _file(path):
    return np.load(path)


def _read(path, i):
    cases, prefix = _file(path), f"l{i:03d}_"
    return {name[len(prefix) :]: cases[name] for name in cases.files if name.startswith(prefix)}


def layers_of_case(case):
    """Elastic layer of the full size with the values of a case, and the active slice's spec."""
    layer_name, mode = str(case["kind"]).split(":")
    kind = KINDS.get(layer_name, "depthwise")
    weight = case["weight"]
    x, y = case["x"], case["y"]
    kernel = 1 if kind != "depthwise" else int(layer_name[5])
    common = {
        "name": layer_name,
        "block": layer_name,
        "kind": kind,
        "bits": LayerBits(*(int(b) for b in case["bits"])),
        "stride": 2 if layer_name.endswith("s2") else 1,
        "in_size": x.shape[-1] if x.ndim == 4 else 1,
        "out_size": y.shape[-1] if y.ndim == 4 else 1,
        "has_norm": "gamma" in case,
        "has_bias": "bias" in case,
        "activation": "none" if kind == "linear" else ("relu" if kind == "depthwise" else "hswish"),
        "has_signed_input": layer_name == "point",
    }
    full_groups = weight.shape[0] if kind == "depthwise" else 1
    largest = LayerSpec(
        **common,
        in_channels=weight.shape[1] * full_groups,
        out_channels=weight.shape[0],
        kernel_size=weight.shape[-1] if weight.ndim == 4 else 1,
        groups=full_groups,
    )
    active = LayerSpec(
        **common,
        in_channels=x.shape[1],
        out_channels=y.shape[1],
        kernel_size=kernel,
        groups=x.shape[1] if kind == "depthwise" else 1,
    )
    layer = ElasticLayer(largest, (3, 5, 7) if kind == "depthwise" else (1,), BITS, BITS)
    _fill(layer, active, case)
    return layer, active, mode


@torch.no_grad()
def _fill(layer, spec, case):
    layer.weight.copy_(torch.from_numpy(case["weight"]))
    for name in ("gamma", "beta", "running_mean", "running_var", "bias"):
        if name in case:
            getattr(layer, name).copy_(torch.from_numpy(case[name]))
    if "7to5_matrix" in case:
        layer.transforms[0].copy_(torch.from_numpy(case["7to5_matrix"]))
        layer.transforms[1].copy_(torch.from_numpy(case["5to3_matrix"]))
    lsq_scale, alpha, offset, low, high = (float(v) for v in case["q"][:5])
    layer.weight_scale[layer.w_index(spec)] = lsq_scale
    at = layer.a_index(spec)
    layer.input_alpha[at] = alpha
    layer.input_offset[at] = offset
    layer.running_min[at] = low
    layer.running_max[at] = high


def _close(found, expected):
    scale = max(1e-3, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale)


def layer_case(case):
    """The results of one case, in the form of the file."""
    layer, spec, mode = layers_of_case(case)
    x = torch.from_numpy(case["x"]).requires_grad_()
    if mode == "eval":
        static = StaticLayer(spec)
        copy_layer(layer, static, spec)
        y = static.eval()(x)
    else:
        y = layer(x, spec)
    y.backward(torch.from_numpy(case["cot"]))
    found = {"y": y.detach().numpy(), "grad_x": x.grad.numpy()}
    if "7to5_matrix" in case:
        # Stored for all channels or for the active ones.
        active = len(case.get("active_filter", x[0]))
        found["active_filter"] = layer.kernel(spec.kernel_size)[:active].detach().numpy()
    if mode == "eval":
        return found
    for name in ("weight", "gamma", "beta", "bias"):
        if name in case:
            found[f"grad_{name}"] = getattr(layer, name).grad.numpy()
    for transform, name in zip(layer.transforms, ("7to5", "5to3"), strict=False):
        if transform.grad is not None:
            found[f"grad_{name}_matrix"] = transform.grad.numpy()
    at = layer.a_index(spec)
    grads = (
        layer.weight_scale.grad[layer.w_index(spec)],
        layer.input_alpha.grad[at],
        layer.input_offset.grad[at],
    )
    found["q"] = np.array([*case["q"][:5], *(float(grad) for grad in grads)])
    return found


@pytest.mark.parametrize(("path", "i"), _cases())
def test_whole_layers_equal_those_of_the_cases(path, i):
    case = _read(path, i)
    found = layer_case(case)
    if "q" in found:
        assert found.pop("q")[5:] == pytest.approx(case["q"][5:], rel=1e-3, abs=1e-4)
        # Only transforms that a kernel size does not use have no gradient.
        assert not any(case[n].any() for n in set(case) - set(found) if n.startswith("grad_"))
    for name, value in found.items():
        _close(value, case[name])


def test_weight_scales_start_from_the_weights_of_each_kernel_size():
    spec = LayerSpec(
        name="d",
        block="d",
        kind="depthwise",
        in_channels=4,
        out_channels=4,
        kernel_size=5,
        groups=4,
        in_size=8,
        out_size=8,
        bits=LayerBits(2, 2),
    )
    layer = ElasticLayer(spec, (3, 5), (2, 4), (2, 4))
    layer.reset_weight_scales()
    for row, kernel_size in enumerate((3, 5)):
        for column, bits in enumerate((2, 4)):
            expected = lsq_initial_scale(layer.kernel(kernel_size), bits=bits)
            assert layer.weight_scale[row, column] == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_every_kernel_size_is_quantized_in_float32_under_autocast(dtype, kernel_size):
    torch.manual_seed(0)
    spec = LayerSpec(
        name="depthwise",
        block="",
        kind="depthwise",
        bits=LayerBits(4, 4),
        in_channels=8,
        out_channels=8,
        kernel_size=kernel_size,
        in_size=9,
        out_size=9,
        groups=8,
    )
    layer = ElasticLayer(replace(spec, kernel_size=7), (3, 5, 7), BITS, BITS)
    x = torch.randn(4, 8, 9, 9)
    gradients = []
    for is_half in (False, True):
        layer.zero_grad()
        with torch.autocast("cpu", dtype, enabled=is_half):
            assert layer.kernel(kernel_size).dtype == torch.float32
            y = layer(x, spec)
        (y.float() * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        gradients.append([layer.weight_scale.grad.clone(), layer.weight.grad.clone()])
    for exact, half in zip(*gradients, strict=True):
        assert half.dtype == torch.float32
        assert (half - exact).norm() < 0.15 * exact.norm()
