from dataclasses import replace

import numpy as np
import pytest
import torch

import predictors
import search_spaces
from qfa_search.deployment.engines import GRAPH_LEVELS, onnx_engine, onnx_session, run_onnx
from qfa_search.deployment.onnx_file import onnx_model, stored_bits
from qfa_search.deployment.onnx_graph import IMAGE, LOGITS
from qfa_search.deployment.plan import network_plan
from qfa_search.deployment.replay import replay
from qfa_search.errors import ExportError
from qfa_search.supernet.files import BUNDLED_SUPERNETS
from tests.qfa_search.deployment.networks import random_images, random_network

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def _replays(network, folder, n_images=40, opset=25, levels=GRAPH_LEVELS):
    """The network's ONNX file at several levels of onnxruntime, replayed."""
    plan = network_plan(network)
    path = folder / "m.onnx"
    path.write_bytes(onnx_model(plan, opset=opset).SerializeToString())
    engines = {level: onnx_engine(path, plan, level) for level in levels}
    images = random_images(network.space, n_images, plan.resolution, seed=9)
    return replay(network, plan, engines, [(images, None)])


def _failures(replays):
    return [f"{found.engine}: {found.failure}" for found in replays if found.failure is not None]


@pytest.mark.parametrize("opset", [25, 21])
@pytest.mark.parametrize("seed", range(4))
def test_random_subnets_run_equally_at_all_graph_levels(toy_space, tmp_path, seed, opset):
    subnet = toy_space.sample(np.random.default_rng(seed))
    assert _failures(_replays(random_network(toy_space, subnet, seed), tmp_path, opset=opset)) == []


@pytest.mark.parametrize("offset", [-2.0, -0.5, 0.0, 0.3, 2.0])
def test_every_offset_runs_equally_also_where_no_fraction_is_left(toy_space, tmp_path, offset):
    network = random_network(toy_space, toy_space.largest(), offset=offset)
    assert _failures(_replays(network, tmp_path)) == []


@pytest.mark.parametrize("offset", [None, 0.0])
def test_8_bit_choices_run_equally(toy_space, tmp_path, offset):
    # Without an offset onnxruntime would fuse a chain of 8-bit layers to integers of its own.
    space = replace(toy_space, bit_choices=(8,))
    network = random_network(space, space.largest(), offset=offset)
    assert _failures(_replays(network, tmp_path)) == []


@pytest.mark.parametrize("seed", range(2))
def test_bits_without_a_type_of_their_own_run_equally(toy_space, tmp_path, seed):
    space = replace(toy_space, w_bit_choices=(1, 5, 6, 7), a_bit_choices=(1, 5, 7))
    network = random_network(space, space.sample(np.random.default_rng(seed)), seed)
    codes = [la.codes for la in network_plan(network).layers if la.spec.bits.w_bits == 1]
    assert {int(code) for code in np.unique(np.concatenate([c.ravel() for c in codes]))} == {-1, 1}
    assert _failures(_replays(network, tmp_path)) == []


def test_float_stem_and_squeeze_excite_of_the_published_space_run_equally(tmp_path):
    space = search_spaces.load("mobilenet-v3-w1.2")
    subnet = replace(space.smallest(), resolution=32)
    network = random_network(space, subnet, n_images=8)
    assert _failures(_replays(network, tmp_path, n_images=8, levels=["none", "all"])) == []


def test_layers_with_one_side_in_floating_point_run_equally(toy_space, tmp_path):
    space = replace(toy_space, bit_choices=(3, 32), stem_bits=32)
    subnet = space.sample(np.random.default_rng(2))
    assert _failures(_replays(random_network(space, subnet), tmp_path)) == []


def test_a_channel_that_the_norm_removes_runs_equally(toy_space, tmp_path):
    network = random_network(toy_space, toy_space.smallest())
    with torch.no_grad():
        network.layers["first_block/depthwise"].norm.weight[:3] = 0
    assert _failures(_replays(network, tmp_path)) == []


def test_logits_do_not_depend_on_the_batch(toy_space):
    plan = network_plan(random_network(toy_space, toy_space.smallest()))
    session = onnx_session(onnx_model(plan).SerializeToString())
    images = random_images(toy_space, 7, plan.resolution).numpy()
    (together,) = session.run(None, {"image": images})
    alone = [session.run(None, {"image": image[None]})[0][0] for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("opset", [25, 21])
def test_the_file_is_valid_and_its_types_are_those_of_the_opset(toy_space, opset):
    space = replace(toy_space, w_bit_choices=tuple(range(1, 9)), a_bit_choices=(3, 6))
    plan = network_plan(random_network(space, space.sample(np.random.default_rng(0))))
    model = onnx_model(plan, opset=opset)
    onnx.checker.check_model(model, full_check=True)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert (onnx.TensorProto.INT2 in kinds) == (opset == 25)
    assert model.ir_version == {25: 13, 21: 10}[opset]
    sizes = {tensor.name: len(tensor.raw_data) for tensor in model.graph.initializer}
    for i, layer in enumerate(plan.layers):
        if layer.codes is not None:
            bits = stored_bits(layer.spec.bits.w_bits, opset)
            assert sizes[f"{i}.w"] == -(-layer.spec.n_weights * bits // 8)


def test_nothing_that_runtimes_fuse_wrongly_stands_before_a_quantizer(toy_space):
    space = replace(toy_space, bit_choices=(2, 4, 8))
    for offset in (0.0, 0.3):
        network = random_network(space, space.sample(np.random.default_rng(1)), offset=offset)
        graph = onnx_model(network_plan(network)).graph
        producers = {name: node.op_type for node in graph.node for name in node.output}
        kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "QuantizeLinear":
                assert producers[node.input[0]] in ("Add", "Min")
                assert kinds[node.input[2]] == onnx.TensorProto.UINT8


def test_what_the_runtime_does_not_load_is_one_line():
    with pytest.raises(ExportError, match=r"^onnxruntime [\d.]+ does not load m.onnx: [^\n]*$"):
        onnx_session(b"nothing", name="m.onnx")


@pytest.mark.parametrize("level", ["all", "none"])
def test_a_runtime_without_memory_is_one_error_and_prints_nothing_itself(level, capfd):
    size = onnx.numpy_helper.from_array(np.array([2**50]), "size")
    image = onnx.helper.make_tensor_value_info(IMAGE, onnx.TensorProto.FLOAT, [1])
    logits = onnx.helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, ["n"])
    node = onnx.helper.make_node("ConstantOfShape", ["size"], [LOGITS])
    graph = onnx.helper.make_graph([node], "huge", [image], [logits], [size])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])
    model.ir_version = 10
    with pytest.raises(MemoryError, match=r"^onnxruntime [^\n]*does not (load|run)[^\n]*$"):
        run_onnx(onnx_session(model.SerializeToString(), level), [LOGITS], np.ones(1, np.float32))
    assert capfd.readouterr() == ("", "")


def test_an_unknown_opset_is_refused(toy_space):
    plan = network_plan(random_network(toy_space, toy_space.smallest()))
    with pytest.raises(ValueError, match=r"opset must be one of \[21, 25\], got 13"):
        onnx_model(plan, opset=13)


def test_without_quantizers_the_file_is_the_float_network(toy_space):
    space = toy_space.in_floating_point()
    network = random_network(space, space.largest())
    model = onnx_model(network_plan(network), in_floating_point=True)
    images = random_images(space, 3, 16)
    (logits,) = onnx_session(model.SerializeToString()).run(None, {"image": images.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(logits, network(images).numpy(), atol=1e-5)


@pytest.mark.parametrize(("member", "most"), [("smallest", 1.35), ("largest", 1.15)])
def test_files_of_the_bundled_space_are_as_small_as_promised(member, most):
    space = search_spaces.load("fashion-mnist")
    subnet = getattr(space, member)()
    size = len(onnx_model(network_plan(random_network(space, subnet))).SerializeToString())
    assert size <= most * predictors.size_bytes(space, subnet)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED_SUPERNETS)
@pytest.mark.parametrize("seed", range(20))
def test_random_subnets_of_bundled_spaces_run_equally(tmp_path, name, seed):
    from qfa_search import extract, load_supernet, recalibrate

    supernet = load_supernet(name)
    subnet = supernet.space.sample(np.random.default_rng(seed))
    network = extract(supernet, subnet)
    images = random_images(supernet.space, 128, subnet.resolution)
    labels = torch.zeros(64, dtype=torch.long)
    recalibrate(network, [(part, labels) for part in images.split(64)], sequential=True)
    assert _failures(_replays(network, tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "resolution"), [(0, 128), (1, 176), (2, 224)])
def test_subnets_of_the_published_space_run_equally(tmp_path, seed, resolution):
    space = search_spaces.load("mobilenet-v3-w1.2")
    subnet = replace(space.sample(np.random.default_rng(seed)), resolution=resolution)
    network = random_network(space, subnet, seed, n_images=4)
    assert _failures(_replays(network, tmp_path, n_images=3)) == []
