import numpy as np
import pytest
import torch

from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate


def _network(space, seed):
    """A random subnet with random quantizers, recalibrated, and a batch."""
    torch.manual_seed(seed)
    supernet = Supernet(space)
    with torch.no_grad():
        for name, parameter in supernet.named_parameters():
            if name.endswith(("input_alpha", "input_offset")):
                parameter.uniform_(-0.5, 0.5)
    subnet = space.sample(np.random.default_rng(seed))
    network = extract(supernet, subnet)
    x = torch.randn(6, space.input_channels, subnet.resolution, subnet.resolution)
    recalibrate(network, [(x, torch.zeros(6, dtype=torch.int64))], sequential=seed % 2 == 0)
    return network, x


@pytest.mark.parametrize("seed", range(8))
def test_constants_of_a_static_network_change_no_bit_of_its_logits(toy_space, seed):
    network, x = _network(toy_space, seed)
    with torch.no_grad():
        without_gradients = network(x)
    assert torch.equal(network(x), without_gradients)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_network_gives_the_same_logits(toy_space):
    network, x = _network(toy_space, 0)
    with torch.no_grad():
        assert torch.equal(torch.jit.trace(network, (x,))(x), network(x))


@pytest.mark.filterwarnings("ignore")
def test_an_exported_network_gives_the_same_logits_for_any_batch(toy_space):
    network, x = _network(toy_space, 1)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(network, (x,), dynamic_shapes=({0: batch},)).module()
    with torch.no_grad():
        for n in (6, 3):
            assert torch.equal(program(x[:n]), network(x[:n]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_network_is_compiled_in_one_graph(toy_space):
    network, x = _network(toy_space, 2)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert torch.equal(compiled(x), network(x))
