import pytest
import torch
import torch.nn.functional as F

from qfa_search.supernet import depthwise
from qfa_search.supernet.depthwise import depthwise_conv2d


def _inputs(kernel_size, size, *, dtype=torch.float32, layout=torch.channels_last):
    generator = torch.Generator().manual_seed(kernel_size * 100 + size)
    x = torch.randn(3, 16, size, size, generator=generator).to(dtype)
    weight = torch.randn(16, 1, kernel_size, kernel_size, generator=generator).to(dtype)
    return x.contiguous(memory_format=layout).requires_grad_(), weight.requires_grad_()


def _plain(x, weight, stride):
    return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=len(weight))


def _run(convolution, x, weight, stride):
    """Output and both gradients, for a cotangent that depends on the shape alone."""
    y = convolution(x, weight, stride)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return y.detach(), *torch.autograd.grad(y, (x, weight), cotangent)


@pytest.mark.parametrize("size", [2, 3, 4, 6, 7, 13, 14])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_gradients_equal_the_plain_convolution_in_float64(kernel_size, stride, size):
    x, weight = _inputs(kernel_size, size, dtype=torch.float64)
    exact = depthwise._DepthwiseConv2d.apply
    for found, expected in zip(
        _run(exact, x, weight, stride), _run(_plain, x, weight, stride), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel_size", "stride", "size"), [(5, 1, 14), (5, 2, 14), (7, 1, 4)])
def test_gradients_equal_the_plain_convolution_in_float32(kernel_size, stride, size, layout):
    x, weight = _inputs(kernel_size, size, layout=layout)
    for found, expected in zip(
        _run(depthwise_conv2d, x, weight, stride), _run(_plain, x, weight, stride), strict=True
    ):
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * scale)


def test_two_runs_are_equal_to_the_last_bit():
    x, weight = _inputs(5, 14)
    first, second = (_run(depthwise_conv2d, x, weight, 1) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("wanted", [0, 1])
def test_only_the_wanted_gradient_is_computed(wanted):
    inputs = _inputs(5, 7)
    inputs[1 - wanted].requires_grad_(False)
    depthwise_conv2d(*inputs, 1).sum().backward()
    assert [tensor.grad is not None for tensor in inputs] == [wanted == 0, wanted == 1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_run_the_plain_operation(dtype):
    x, weight = _inputs(5, 7, dtype=dtype)
    y = depthwise_conv2d(x, weight, 1)
    assert y.dtype == dtype
    assert type(y.grad_fn).__name__ == "ConvolutionBackward0"


def test_autocast_runs_the_plain_operation():
    x, weight = _inputs(5, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert depthwise_conv2d(x, weight, 1).dtype == torch.bfloat16
