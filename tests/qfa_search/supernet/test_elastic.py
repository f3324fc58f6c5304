from dataclasses import replace

import numpy as np
import pytest
import torch

from qfa_search.quantizers.functional import lsq_initial_scale
from qfa_search.supernet.elastic import ElasticLayer
from qfa_search.supernet.extract import StaticLayer, copy_layer
from search_spaces import LayerBits, LayerSpec
from tests.reference import reference_file

BITS = (2, 3, 4, 8)
KINDS = {"point": "conv", "point_nobn": "conv", "linear": "linear"}


@pytest.fixture(scope="module")
def cases():
    return np.load(reference_file("reference/layer_cases.npz"))


def _case(cases, i):
    """Elastic layer of the full size with the values of case `i`, and the active slice's spec."""
    prefix = f"l{i:03d}_"
    case = {k[len(prefix) :]: cases[k] for k in cases.files if k.startswith(prefix)}
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
    layer = ElasticLayer(largest, (3, 5, 7) if kind == "depthwise" else (1,), BITS)
    _fill(layer, active, case)
    return layer, active, case, mode


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


N_CASES = 42


@pytest.mark.parametrize("i", range(N_CASES))
def test_whole_layers_equal_the_published_ones(cases, i):
    layer, spec, case, mode = _case(cases, i)
    x = torch.from_numpy(case["x"]).requires_grad_()
    if mode == "eval":
        static = StaticLayer(spec)
        copy_layer(layer, static, spec)
        y = static.eval()(x)
        _close(y.detach().numpy(), case["y"])
        y.backward(torch.from_numpy(case["cot"]))
        _close(x.grad.numpy(), case["grad_x"])
        return
    y = layer(x, spec)
    y.backward(torch.from_numpy(case["cot"]))
    _close(y.detach().numpy(), case["y"])
    _close(x.grad.numpy(), case["grad_x"])
    _close(layer.weight.grad.numpy(), case["grad_weight"])
    for name in ("gamma", "beta", "bias"):
        if name in case:
            _close(getattr(layer, name).grad.numpy(), case[f"grad_{name}"])
    for index, name in enumerate(("grad_7to5_matrix", "grad_5to3_matrix")):
        if name in case and np.abs(case[name]).any():
            _close(layer.transforms[index].grad.numpy(), case[name])
    grad_scale, grad_alpha, grad_offset = (float(v) for v in case["q"][5:])
    at = layer.a_index(spec)
    found = layer.weight_scale.grad[layer.w_index(spec)]
    assert float(found) == pytest.approx(grad_scale, rel=1e-3, abs=1e-4)
    assert float(layer.input_alpha.grad[at]) == pytest.approx(grad_alpha, rel=1e-3, abs=1e-4)
    assert float(layer.input_offset.grad[at]) == pytest.approx(grad_offset, rel=1e-3, abs=1e-4)


def test_small_kernels_are_transformed_centres_of_large_ones(cases):
    for i in range(N_CASES):
        layer, spec, case, _ = _case(cases, i)
        if "active_filter" in case:
            # Stored for all channels or for the active ones.
            filters = layer.kernel(spec.kernel_size)[: len(case["active_filter"])]
            _close(filters.detach().numpy(), case["active_filter"])


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
    layer = ElasticLayer(spec, (3, 5), (2, 4))
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
    layer = ElasticLayer(replace(spec, kernel_size=7), (3, 5, 7), BITS)
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
