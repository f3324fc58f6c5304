import json

import numpy as np
import pytest
import torch

import qfa_search
from qfa_search.published.checkpoint import COUNTER, NEVER_USED, SCRATCH, published_keys
from qfa_search.supernet.mobilenet_v3 import key
from search_spaces import LayerBits, layer_specs
from tests.qfa_search.published.published_release import SPACE, fill_module, filled_state
from tests.reference import reference_file

VARIANTS = ("logits", "logits_official_eval")
LARGEST_DIFFERENCE = 1e-13  # docs/published.md promises it


@pytest.fixture(scope="module")
def state():
    return filled_state()


@pytest.fixture(scope="module")
def supernet(state):
    return qfa_search.import_published_supernet(state)


@pytest.fixture(scope="module")
def cases():
    return {
        **np.load(reference_file("reference/supernet_logits.npz")),
        **{
            f"{name}_f64": value
            for name, value in np.load(reference_file("reference/supernet_logits_f64.npz")).items()
        },
    }


def _network(supernet, gene, variant):
    layout = SPACE.layout
    subnet = layout.decode(layout.from_published(gene[None].astype(int))[0])
    if variant.endswith("official_eval"):
        subnet = qfa_search.as_released(SPACE, subnet)
    return qfa_search.extract(supernet, subnet).double()


def _worst_difference(supernet, cases, row, variant, *, calibration_seed=None):
    fill, gene = fill_module(), cases["genes"][row]
    network = _network(supernet, gene, variant)
    resolution = int(gene[45])
    want = cases[f"{variant}_f64"][row]
    if calibration_seed is not None:
        batches = fill.make_calibration(calibration_seed, resolution)
        qfa_search.recalibrate(network, [(torch.from_numpy(b).double(), None) for b in batches])
        recalibrated = cases["recal_index"].tolist().index(row)
        want = cases[f"recal_{variant}_f64"][recalibrated]
    images = fill.make_input(int(cases["input_seed"][row]), resolution)
    with torch.no_grad():
        logits = network(torch.from_numpy(images).double()).numpy()
    return np.abs(logits - want).max()


def test_every_published_key_is_used_once_or_left_out_for_a_reason(state, supernet):
    entries = published_keys(supernet)
    assert sorted(e.name for e in entries) == sorted(state)
    assert {e.ignored for e in entries} == {"", COUNTER, NEVER_USED, SCRATCH}
    targets = [(e.target, e.index) for e in entries if not e.ignored]
    assert len(set(targets)) == len(targets)
    whole = {target for target, index in targets if index is None}
    placed = [target for target, index in targets if index is not None]
    for name, value in supernet.state_dict().items():
        assert (name in whole) != (placed.count(name) == value.numel())


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_the_published_network_of_a_gene(supernet, cases, variant):
    assert _worst_difference(supernet, cases, 4, variant) < LARGEST_DIFFERENCE


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_the_published_network_of_every_gene(supernet, cases, variant):
    differences = [
        _worst_difference(supernet, cases, row, variant) for row in range(len(cases["genes"]))
    ]
    assert max(differences) < LARGEST_DIFFERENCE


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_the_published_network_after_recalibration(supernet, cases, variant):
    for row, seed in zip(cases["recal_index"], cases["recal_seed"], strict=True):
        difference = _worst_difference(
            supernet, cases, int(row), variant, calibration_seed=int(seed)
        )
        assert difference < LARGEST_DIFFERENCE


def test_every_layer_gives_what_the_published_one_gives(supernet, cases):
    reference = json.loads(reference_file("reference/supernet_stages.json").read_text())
    gene = cases["genes"][reference["gene_index"]]
    network = _network(supernet, gene, reference["variant"])
    found = {}
    names = {entry.target: entry.name for entry in published_keys(supernet)}
    for spec in network.specs:
        published = names[f"layers.{key(spec)}.weight"].removesuffix(".weight")
        name = published.rpartition(".")[0]
        network.layers[key(spec)].register_forward_hook(
            lambda _module, _inputs, output, name=name: found.update({name: output.numpy()})
        )
    images = fill_module().make_input(reference["input_seed"], int(gene[45]))
    with torch.no_grad():
        network(torch.from_numpy(images).double())
    compared = 0
    for stage in reference["modules"]:
        if stage["name"] in found:
            output = found[stage["name"]]
            assert list(output.shape) == stage["shape"], stage["name"]
            ours = [output.mean(), output.std(), output.min(), output.max(), *output.ravel()[:8]]
            want = [*(stage[n] for n in ("mean", "std", "min", "max")), *stage["first8"]]
            np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-5, err_msg=stage["name"])
            compared += 1
    assert compared == sum(spec.kind != "squeeze_excite" for spec in network.specs)


def test_recalibrated_statistics_equal_the_published_ones(supernet, cases):
    reference = json.loads(reference_file("reference/supernet_recalibrated_stats.json").read_text())
    gene = cases["genes"][reference["gene_index"]]
    network = _network(supernet, gene, "logits")
    batches = fill_module().make_calibration(reference["calibration_seed"], int(gene[45]))
    qfa_search.recalibrate(network, [(torch.from_numpy(b).double(), None) for b in batches])
    changed = dict(reference["changed_statistics"])
    names = {(e.target, e.index): e.name for e in published_keys(supernet)}
    for spec in network.specs:
        layer, ours = network.layers[key(spec)], f"layers.{key(spec)}"
        if spec.has_norm:
            for name in ("running_mean", "running_var"):
                value = getattr(layer.norm, name).numpy()
                want = changed.pop(names[f"{ours}.{name}", None])
                np.testing.assert_allclose(value[:4], want["first4"], rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(value.mean(), want["mean_of_changed"], atol=1e-4)
        if spec.bits.a_bits <= 8:
            at = supernet.layer(spec).a_index(spec)
            for name in ("running_min", "running_max"):
                want = changed.pop(names[f"{ours}.{name}", at])
                value = getattr(layer.input_quantizer, name).item()
                np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-5)
    assert not changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("classifier.linear.linear.bias"), "lacks classifier.linear.linear.bias"),
        (lambda s: s.update({"extra.weight": torch.ones(1)}), "unknown key extra.weight"),
        (
            lambda s: s.update({"final_expand_layer.conv.gamma": torch.ones(960)}),
            r"final_expand_layer.conv.gamma .* shape \(960,\), expected \(1152,\)",
        ),
        (
            lambda s: s.update({"final_expand_layer.conv.gamma": torch.ones(1152).long()}),
            "final_expand_layer.conv.gamma .* torch.int64",
        ),
        (
            lambda s: s.update({"final_expand_layer.conv.beta": torch.full((1152,), torch.nan)}),
            "final_expand_layer.conv.beta .* not finite",
        ),
        (lambda s: s.update({"first_conv.conv.beta": 1.0}), "first_conv.conv.beta .* tensor"),
    ],
)
def test_a_foreign_checkpoint_is_refused_by_the_name_of_the_key(state, change, says):
    broken = dict(state)
    change(broken)
    with pytest.raises(qfa_search.CheckpointMismatchError, match=says):
        qfa_search.import_published_supernet(broken)


def test_scratch_of_a_used_network_may_be_a_scalar(state):
    name = "classifier.linear.a_quantizer.quantizers.8.observer.min_val"
    qfa_search.import_published_supernet({**state, name: torch.zeros(())})


def test_the_released_script_ignores_depthwise_bits_unless_the_kernel_is_the_largest():
    subnet = SPACE.sample(np.random.default_rng(0))
    released = qfa_search.as_released(SPACE, subnet)
    assert SPACE.contains(released)
    asked, run = ({spec.name: spec for spec in layer_specs(SPACE, s)} for s in (subnet, released))
    for name, spec in asked.items():
        is_ignored = spec.stage is not None and spec.kind == "depthwise" and spec.kernel_size < 7
        assert run[name].bits == (LayerBits(4, 4) if is_ignored else spec.bits)


def test_the_largest_subnet_runs_as_asked_for():
    assert qfa_search.as_released(SPACE, SPACE.largest()) == SPACE.largest()


def test_the_bits_that_run_are_those_of_the_reference(cases):
    reference = json.loads(reference_file("reference/supernet_bits.json").read_text())
    gene = cases["genes"][reference["gene_index"]]
    subnet = SPACE.layout.decode(SPACE.layout.from_published(gene[None].astype(int))[0])
    for name, found in (
        ("bits_intended", subnet),
        ("bits_official_eval", qfa_search.as_released(SPACE, subnet)),
    ):
        weight_bits = [b for n, b in reference[name].items() if ".w_quantizer" in n]
        input_bits = [b for n, b in reference[name].items() if ".a_quantizer" in n]
        specs = [s for s in layer_specs(SPACE, found) if s.kind != "squeeze_excite"]
        assert [s.bits.w_bits for s in specs] == weight_bits
        assert [s.bits.a_bits for s in specs] == input_bits
