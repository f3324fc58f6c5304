import numpy as np
import torch

from benchmarks.claims.activation_steps import static_network
from benchmarks.claims.bit_norms import bit_norm_supernet
from benchmarks.claims.cures import grouped
from benchmarks.claims.cures import verdict as cures_verdict
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate


def test_a_cure_is_told_by_its_gaps_within_seeds():
    means = np.array([[70.0, 71.0, 69.9], [72.0, 73.2, 72.2], [65.0, 65.9, 64.8]])
    text = cures_verdict(["the recipe", "a", "b"], {"mean": means})
    assert "a: **helps** (+1.03 ± 0.09 points)" in text
    assert "b: **no difference** (-0.03 ± 0.12 points)" in text
    one_seed = cures_verdict(["the recipe", "a"], {"mean": means[:1, :2]})
    assert "a: **no difference**" in one_seed


def test_scores_are_averaged_over_groups_then_over_all():
    groups = grouped(["2/2", "2/2", "mixed"], np.array([[[1.0, 3.0, 8.0]]]))
    assert {name: values.tolist() for name, values in groups.items()} == {
        "2/2": [[2.0]],
        "mixed": [[8.0]],
        "mean": [[5.0]],
    }


def test_norms_per_bit_width_start_as_one_norm_and_are_extracted(toy_space):
    torch.manual_seed(0)
    supernet = bit_norm_supernet(toy_space)
    subnet = toy_space.largest()
    x = torch.randn(4, toy_space.input_channels, subnet.resolution, subnet.resolution)
    one = Supernet(toy_space)
    one.load_state_dict(supernet.state_dict(), strict=False)
    assert torch.equal(supernet(x, subnet), one(x, subnet))
    for name, parameter in supernet.named_parameters():
        if "bit_" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    network = static_network(supernet, subnet)
    recalibrate(network, [(x, torch.zeros(4, dtype=torch.long))], 1)
    assert torch.allclose(network(x), supernet(x, subnet), atol=1e-4)
    assert not torch.allclose(supernet(x, subnet), one(x, subnet), atol=1e-2)
