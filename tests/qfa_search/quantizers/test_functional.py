import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qfa_search.quantizers.functional import (
    batch_range,
    batchquant,
    constants,
    integer_range,
    lsq,
    lsq_initial_scale,
    quantization_grid,
    range_multiplier,
    weight_range,
)
from tests.reference import check_files

BITS = st.integers(1, 8)


def _scalar(value: float) -> torch.Tensor:
    return torch.tensor(np.float32(value), requires_grad=True)


@pytest.fixture(scope="module", params=check_files("reference/quantizer_cases.npz"))
def cases(request):
    return np.load(request.param)


def _case(cases, prefix):
    return {name[len(prefix) :]: cases[name] for name in cases.files if name.startswith(prefix)}


def batchquant_case(case):
    """The results of one case of activations, in the form of the file."""
    alpha, offset, low, high = case["f"][:4]
    bits, signed, training = (int(v) for v in case["i"][:3])
    x = torch.tensor(case["x"], requires_grad=True)
    a, o = _scalar(alpha), _scalar(offset)
    if training:
        xmin, xmax = batch_range(x)
    else:
        xmin, xmax = _scalar(low).detach(), _scalar(high).detach()
    y = batchquant(x, a, o, xmin, xmax, bits=bits, signed=bool(signed))
    y.backward(torch.tensor(case["cot"]))
    ends = float(xmin), float(xmax)
    step, zero_point = quantization_grid(*ends, bits=bits, signed=bool(signed))
    level = torch.round(y.detach() / step * range_multiplier(a.detach()) + zero_point + offset)
    return {
        "y": y.detach().numpy(),
        "level": level.numpy(),
        "grad_x": x.grad.numpy(),
        "f": np.array([*case["f"][:4], *ends, float(step), float(a.grad), float(o.grad)]),
        "i": np.array([*case["i"][:3], int(zero_point)]),
    }


def lsq_case(case):
    """The results of one case of weights, in the form of the file."""
    bits, signed = (int(v) for v in case["i"][:2])
    weight = torch.tensor(case["w"], requires_grad=True)
    v = _scalar(case["f"][0])
    y = lsq(weight, v, bits=bits, n_elements=weight.numel(), signed=bool(signed))
    y.backward(torch.tensor(case["cot"]))
    return {
        "y": y.detach().numpy(),
        "grad_w": weight.grad.numpy(),
        "f": np.array([case["f"][0], float(v.grad)]),
    }


def test_batchquant_equals_every_case(cases):
    for i in range(int(cases["n_activation"])):
        case = _case(cases, f"a{i:03d}_")
        found = batchquant_case(case)
        *_, low, high, step, grad_alpha, grad_offset = found["f"]
        used_min, used_max, want_step, want_alpha, want_offset = case["f"][4:]
        assert (low, high) == pytest.approx((used_min, used_max), abs=1e-6), i
        assert step == pytest.approx(want_step, rel=1e-6), i
        assert found["i"][3] == case["i"][3], i
        assert np.abs(found["y"] - case["y"]).max() <= 1e-4 * step, i
        np.testing.assert_array_equal(found["level"], case["level"], str(i))
        np.testing.assert_allclose(found["grad_x"], case["grad_x"], rtol=1e-4, atol=1e-6)
        assert grad_alpha == pytest.approx(want_alpha, rel=1e-4, abs=1e-4), i
        assert grad_offset == pytest.approx(want_offset, rel=1e-4, abs=1e-5), i


def test_lsq_equals_every_case(cases):
    for i in range(int(cases["n_lsq"])):
        case = _case(cases, f"w{i:03d}_")
        found = lsq_case(case)
        scale, grad_scale = case["f"]
        bits, signed, from_rule = (int(v) for v in case["i"])
        assert np.abs(found["y"] - case["y"]).max() <= 1e-4 * abs(scale), i
        np.testing.assert_allclose(found["grad_w"], case["grad_w"], rtol=1e-4, atol=1e-6)
        assert found["f"][1] == pytest.approx(grad_scale, rel=1e-4, abs=1e-5), i
        if from_rule and signed:
            start = lsq_initial_scale(torch.tensor(case["w"]), bits=bits)
            assert float(start) == pytest.approx(scale, rel=1e-5), i


@given(BITS, st.booleans(), st.integers(0, 2**31 - 1))
def test_batchquant_stays_on_its_levels(bits, signed, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    y = batchquant(x, torch.zeros(()), torch.zeros(()), *batch_range(x), bits=bits, signed=signed)
    assert len(y.unique()) <= 2**bits


@given(BITS, st.integers(0, 2**31 - 1))
def test_quantizing_twice_changes_nothing(bits, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    xmin, xmax = batch_range(x)
    alpha, offset = torch.tensor(0.3).double(), torch.tensor(-0.2).double()
    once = batchquant(x, alpha, offset, xmin, xmax, bits=bits)
    torch.testing.assert_close(batchquant(once, alpha, offset, xmin, xmax, bits=bits), once)
    weight, scale = x, torch.tensor(0.2).double()
    once = lsq(weight, scale, bits=bits, n_elements=1)
    torch.testing.assert_close(lsq(once, scale, bits=bits, n_elements=1), once)


@given(st.integers(0, 2**31 - 1))
def test_signed_and_unsigned_grids_give_the_same_values(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    arguments = x, torch.tensor(0.1), torch.tensor(0.2), *batch_range(x)
    torch.testing.assert_close(
        batchquant(*arguments, bits=3), batchquant(*arguments, bits=3, signed=True)
    )


def test_zeros_pass_with_their_gradient():
    # ReLU's zeros lie exactly on the lower clip bound.
    x = torch.zeros(1, 1, 2, 2)
    x[0, 0, 0, 0] = 1.0
    x.requires_grad_()
    y = batchquant(x, torch.zeros(()), torch.zeros(()), *batch_range(x), bits=2)
    y.sum().backward()
    assert x.grad.eq(1).all()


def test_an_all_zero_input_stays_zero_and_finite():
    x = torch.zeros(2, 3, 4, 4, requires_grad=True)
    y = batchquant(x, torch.zeros(()), torch.zeros(()), *batch_range(x), bits=2, signed=True)
    y.sum().backward()
    assert y.eq(0).all()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("cotangent_layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_do_not_depend_on_the_memory_layout(layout, cotangent_layout):
    x = torch.randn(4, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    cotangent = torch.randn(4, 6, 5, 5, generator=torch.Generator().manual_seed(1))
    cotangent = cotangent.clone(memory_format=cotangent_layout)
    alpha, offset = _scalar(0.2), _scalar(0.1)
    moved = x.clone(memory_format=layout).requires_grad_()
    batchquant(moved, alpha, offset, *batch_range(moved), bits=2).backward(cotangent)
    reference = x.double().requires_grad_()
    exact = [t.detach().double().requires_grad_() for t in (alpha, offset)]
    batchquant(reference, *exact, *batch_range(reference), bits=2).backward(cotangent.double())
    torch.testing.assert_close(moved.grad.double(), reference.grad)
    assert float(alpha.grad) == pytest.approx(float(exact[0].grad), rel=1e-4)
    assert float(offset.grad) == pytest.approx(float(exact[1].grad), rel=1e-4)


@given(st.integers(1, 70), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**31 - 1))
def test_ranges_do_not_depend_on_the_memory_layout(channels, side, n, seed):
    x = torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(seed))
    last = x.contiguous(memory_format=torch.channels_last)
    low, high = (float(end) for end in batch_range(last))
    assert low == pytest.approx(float(x.amin((0, 2, 3)).mean()), rel=1e-6, abs=1e-6)
    assert high == pytest.approx(float(x.amax((0, 2, 3)).mean()), rel=1e-6, abs=1e-6)


def test_integer_ranges():
    assert integer_range(2, signed=True) == (-2, 1)
    assert integer_range(4, signed=False) == (0, 15)
    assert weight_range(2) == (-2, 1)
    assert weight_range(1) == (-1, 1)


def test_1_bit_weights_are_the_step_and_its_negative():
    weight = torch.tensor([-3.0, -0.1, -0.0, 0.0, 0.1, 3.0], requires_grad=True)
    scale = torch.tensor(0.5, requires_grad=True)
    y = lsq(weight, scale, bits=1, n_elements=1)
    assert y.tolist() == [-0.5, -0.5, 0.5, 0.5, 0.5, 0.5]
    with torch.no_grad():
        assert torch.equal(lsq(weight, scale, bits=1, n_elements=1), y)
    y.sum().backward()
    assert weight.grad.tolist() == [0, 1, 1, 1, 1, 0]
    # Of each weight: its code, and beside it minus the weight in steps where rounding passes.
    inner = [-1 + 0.2, 1, 1, 1 - 0.2]
    assert float(scale.grad) == pytest.approx(sum(inner) - 1 + 1)


def test_no_step_has_less_error_at_1_bit_than_the_initial_one():
    weight = torch.randn(200, generator=torch.Generator().manual_seed(0))
    scale = lsq_initial_scale(weight, bits=1)
    errors = [
        float((lsq(weight, factor * scale, bits=1, n_elements=1) - weight).square().sum())
        for factor in (0.9, 1.0, 1.1)
    ]
    assert min(errors) == errors[1]


@pytest.mark.parametrize(("bits", "signed"), [(2, False), (4, True)])
def test_gradients_equal_those_of_the_formula_in_plain_autograd(bits, signed):
    generator = torch.Generator().manual_seed(bits)
    values = torch.randn(4, 6, 5, 5, generator=generator, dtype=torch.float64).relu() - 0.1
    cotangent = torch.randn(4, 6, 5, 5, generator=generator, dtype=torch.float64)
    qmin, qmax = integer_range(bits, signed=signed)

    def formula(x, alpha, offset):
        xmin, xmax = (float(end) for end in batch_range(x))
        step, zero_point = quantization_grid(xmin, xmax, bits=bits, signed=signed)
        factor = range_multiplier(alpha)
        u = (x * factor / step + zero_point + offset).clamp(qmin, qmax)
        q = u + (u.round() - u).detach()
        return (q - zero_point - offset) * step / factor

    def fast(x, alpha, offset):
        return batchquant(x, alpha, offset, *batch_range(x), bits=bits, signed=signed)

    found, expected = [], []
    for function, results in ((fast, found), (formula, expected)):
        inputs = [values.clone(), torch.tensor(0.2).double(), torch.tensor(-0.3).double()]
        inputs = [tensor.requires_grad_() for tensor in inputs]
        y = function(*inputs)
        results += [y.detach(), *torch.autograd.grad(y, inputs, cotangent)]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_what_is_not_a_number_stays_visible():
    x = torch.full((1, 1, 2, 2), float("nan"))
    y = batchquant(x, torch.zeros(()), torch.zeros(()), *batch_range(x), bits=2)
    assert y.isnan().all()
    assert all(lsq(x, torch.ones(()), bits=n, n_elements=1).isnan().all() for n in (1, 2))


def test_a_grid_beyond_float32_gives_no_numbers_and_no_error_of_torch():
    multiplier, offset, xmin, xmax = map(torch.tensor, (3e38, 0.0, 0.0, 1e-30))
    grid = constants(multiplier, offset, xmin, xmax, bits=4, signed=False)
    assert grid.gain == np.inf
    assert not torch.isfinite(grid.quantize(torch.zeros(3))).any()
