import pytest

from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.config import TrainConfig
from qfa_search.training.optimizer import make_optimizer, rate_share, set_rate
from qfa_search.training.teacher import dense_teacher


def test_only_convolution_and_classifier_weights_decay(toy_space):
    supernet = Supernet(toy_space)
    optimizer = make_optimizer(supernet, TrainConfig(weight_decay=0.1))
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    names = {name.split(".")[-1] for name, p in supernet.named_parameters() if id(p) in decayed}
    assert names == {"weight"}
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len([*supernet.parameters()])


def test_norms_of_a_dense_teacher_do_not_decay(toy_space):
    teacher = dense_teacher(toy_space, 4)
    optimizer = make_optimizer(teacher, TrainConfig(weight_decay=0.1))
    assert all(
        p.dim() > 1 for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]
    )


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_weight_steps_move_slowly(toy_space, name):
    config = TrainConfig(scale_rate_factor=0.25, optimizer=name)
    optimizer = make_optimizer(Supernet(toy_space), config)
    set_rate(optimizer, 0.4)
    rates = [0.1, 0.4, 4.0] if name == "muon" else [0.1, 0.4]
    assert sorted({g["lr"] for g in optimizer.param_groups}) == pytest.approx(rates)


def test_norms_beside_muon_may_move_more_slowly(toy_space):
    config = TrainConfig(adamw_rate_factor=0.5, optimizer="muon")
    optimizer = make_optimizer(Supernet(toy_space), config)
    set_rate(optimizer, 0.4)
    assert sorted({g["lr"] for g in optimizer.param_groups}) == pytest.approx([0.04, 0.2, 4.0])


def test_the_rate_rises_then_falls_to_zero():
    shares = [rate_share(step, 100, 5) for step in range(100)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert shares[5:] == sorted(shares[5:], reverse=True)
    assert shares[-1] < 0.001
    assert rate_share(0, 20, 50) == pytest.approx(0.5)  # a warm-up is a tenth at most
