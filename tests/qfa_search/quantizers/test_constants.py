import numpy as np
import pytest
import torch

from qfa_search.quantizers import functional
from qfa_search.quantizers.batchquant import BatchQuant
from qfa_search.quantizers.functional import (
    batch_range,
    batchquant,
    grid_on_device,
    lsq,
    quantization_grid,
)


def _quantizer(bits, signed, low, high, alpha=0.3, offset=-0.2):
    quantizer = BatchQuant(bits, signed=signed)
    with torch.no_grad():
        quantizer.alpha.fill_(alpha)
        quantizer.offset.fill_(offset)
    quantizer.set_range(torch.tensor(low), torch.tensor(high))
    return quantizer.eval()


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("signed", [False, True])
def test_the_grid_of_a_device_is_that_of_python_numbers_to_the_last_bit(bits, signed):
    rng = np.random.default_rng(0)
    ends = rng.normal(size=(500, 2)) * 10.0 ** rng.integers(-9, 9, (500, 2))
    special = [0.0, -0.0, 1.0, -1.0, 1e-30, np.inf, -np.inf, np.nan, 3e38, -3e38]
    ends = np.vstack([ends, [(a, b) for a in special for b in special]]).astype(np.float32)
    for low, high in ends:
        with np.errstate(invalid="ignore", over="ignore"):
            step, zero = quantization_grid(float(low), float(high), bits=bits, signed=signed)
        found = grid_on_device(torch.tensor(low), torch.tensor(high), bits=bits, signed=signed)
        np.testing.assert_array_equal([float(x) for x in found], [step, zero])


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_what_a_device_computes_is_what_a_cpu_computes(bits, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(6, 5, 4, 4).relu_()
    found = []
    for is_cpu in (True, False):
        monkeypatch.setattr(functional, "_is_read_at_no_cost", lambda _, answer=is_cpu: answer)
        leaves = [x.clone(), torch.tensor(0.3), torch.tensor(-0.4)]
        for leaf in leaves:
            leaf.requires_grad_()
        y = batchquant(*leaves, *batch_range(x), bits=bits)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        found.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("ends", [(-1.0, 2.0), (0.0, 0.0), (0.0, 5.5), (-3.0, 0.0), (1.0, 2.0)])
def test_constants_give_what_the_formula_gives(bits, signed, ends):
    quantizer = _quantizer(bits, signed, *ends)
    x = torch.randn(4, 3, 5, 5) * 3
    with_gradients = quantizer(x)
    assert with_gradients.requires_grad
    with torch.no_grad():
        assert torch.equal(quantizer(x), with_gradients)
        assert torch.equal(quantizer.double()(x.double()), quantizer(x.double()))


def test_constants_follow_what_is_written():
    quantizer = _quantizer(3, False, -1.0, 2.0)
    x = torch.randn(50, 3)

    def is_right():
        expected = quantizer(x).detach()
        with torch.no_grad():
            return torch.equal(quantizer(x), expected)

    assert is_right()
    with torch.no_grad():
        quantizer.alpha.fill_(1.5)
    assert is_right()
    quantizer.offset.data.add_(0.7)
    quantizer.eval()
    assert is_right()
    quantizer.running_max.fill_(9.0)
    assert is_right()
    quantizer.load_state_dict(_quantizer(3, False, -2.0, 1.0).state_dict())
    assert is_right()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_quantized_in_float32(dtype):
    x = torch.randn(4, 3, 5, 5).to(dtype)
    xmin, xmax = batch_range(x)
    assert xmin.dtype == torch.float32
    assert torch.equal(xmin, batch_range(x.float())[0])
    y = batchquant(x, torch.tensor(0.1), torch.tensor(0.2), xmin, xmax, bits=8)
    expected = batchquant(x.float(), torch.tensor(0.1), torch.tensor(0.2), xmin, xmax, bits=8)
    assert y.dtype == torch.float32
    assert torch.equal(y, expected)


def test_weights_are_the_same_with_and_without_gradients():
    weight = torch.randn(8, 4, 3, 3)
    scale = torch.tensor(0.1, requires_grad=True)
    for bits in range(1, 9):
        with_gradients = lsq(weight, scale, bits=bits, n_elements=288)
        with torch.no_grad():
            assert torch.equal(lsq(weight, scale, bits=bits, n_elements=288), with_gradients)
