import pytest
import torch
from torch import nn

from qfa_search.errors import MeasurementError
from qfa_search.measuring.evaluation import evaluate
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import Recalibration, recalibrate


class _Parity(nn.Module):
    """Predicts class 1 for odd first pixels, class 0 for even ones."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        odd = x[:, 0, 0, 0] % 2
        return self.sharpness * torch.stack([1 - odd, odd], 1)


def _loader():
    pixels = torch.arange(6.0).view(6, 1, 1, 1)
    labels = torch.tensor([0, 1, 0, 1, 0, 0])  # the last one is wrong
    return [(pixels[:4], labels[:4]), (pixels[4:], labels[4:])]


def test_top1_and_cross_entropy_are_means_over_images():
    found = evaluate(_Parity().eval(), _loader())
    right, wrong = torch.log1p(torch.exp(torch.tensor([-2.0, 2.0]))).tolist()
    assert found.top1 == pytest.approx(100 * 5 / 6)
    assert found.cross_entropy == pytest.approx((5 * right + wrong) / 6)
    assert found.n_images == 6


def test_top1_of_a_class_is_over_its_images():
    found = evaluate(_Parity().eval(), _loader())
    assert found.class_top1 == pytest.approx((75.0, 100.0))


def test_confusion_counts_images_by_class_and_by_the_class_they_were_given():
    found = evaluate(_Parity().eval(), _loader())
    assert found.confusion.tolist() == [[3, 1], [0, 2]]


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="evaluation mode"):
        evaluate(_Parity().train(), _loader())


def test_an_empty_loader_is_refused():
    with pytest.raises(ValueError, match="at least one batch"):
        evaluate(_Parity().eval(), [])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_network_whose_logits_are_no_numbers_has_no_accuracy(broken):
    network = _Parity().eval()
    network.sharpness.data.fill_(broken)
    with pytest.raises(MeasurementError, match="not finite numbers"):
        evaluate(network, _loader())


def test_a_network_that_was_never_recalibrated_is_refused(toy_space):
    torch.manual_seed(0)
    network = extract(Supernet(toy_space), toy_space.smallest())
    batches = [(torch.rand(8, 1, 12, 12), torch.zeros(8, dtype=torch.int64))]
    with pytest.raises(ValueError, match="never recalibrated"):
        evaluate(network, batches)
    recalibrate(network, batches)
    assert evaluate(network, batches).n_images == 8


def test_a_float_network_that_was_never_recalibrated_is_refused():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).eval()
    with pytest.raises(ValueError, match="never recalibrated"):
        evaluate(network, [(torch.rand(8, 1, 3, 3), torch.zeros(8, dtype=torch.int64))])


def test_a_single_image_after_other_batches_is_left_out_of_a_recalibration(toy_space):
    torch.manual_seed(0)
    network = extract(Supernet(toy_space), toy_space.smallest())
    side = toy_space.smallest().resolution
    images = torch.randn(9, 1, side, side)
    found = []
    for batches in ([images[:8]], [images[:8], images[8:]]):
        recalibration = Recalibration(network)
        for batch in batches:
            recalibration.add(batch)
        recalibration.finish()
        found.append({name: value.clone() for name, value in network.state_dict().items()})
    different = [name for name in found[0] if not torch.equal(found[0][name], found[1][name])]
    assert not [name for name in different if not name.endswith("num_batches_tracked")]
