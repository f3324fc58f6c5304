from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from predictors import LatencyTable, latency_ms, signature
from predictors.latency import needed_signatures, table_costs
from search_spaces import layer_specs
from tests.search_spaces.strategies import spaces_with_genomes


def _measured(space, X, rng):
    """A table with a random number for every layer of the genomes."""
    subnets = [space.layout.decode(x) for x in X]
    names = {signature(layer) for subnet in subnets for layer in layer_specs(space, subnet)}
    return LatencyTable({name: float(rng.uniform(0.1, 2)) for name in sorted(names)})


@given(spaces_with_genomes(n=3))
def test_latency_is_the_sum_over_the_layers(drawn):
    space, X = drawn
    table = _measured(space, X, np.random.default_rng(0))
    by_hand = [
        sum(table.values[signature(layer)] for layer in layer_specs(space, space.layout.decode(x)))
        for x in X
    ]
    assert latency_ms(space, X, table) == pytest.approx(by_hand)


def test_a_signature_tells_what_a_latency_depends_on(tiny_space):
    signatures = [signature(layer) for layer in layer_specs(tiny_space, tiny_space.smallest())]
    assert signatures[0] == "conv-1-8-k3-s2-8px-w8a8"
    assert signatures[4] == "depthwise-16-16-k3-s2-4px-w2a2"


def test_all_missing_layers_are_counted_and_listed(tiny_space):
    gone = ["depthwise-16-16-k3-s2-4px-w2a2", "depthwise-16-16-k3-s2-4px-w4a2"]
    ms = {name: 1.0 for name in needed_signatures(tiny_space) if name not in gone}
    X = tiny_space.layout.lowest()[None]
    message = f"lacks 2 of the layers of tiny: {', '.join(gone)}; measure them"
    with pytest.raises(ValueError, match=message):
        latency_ms(tiny_space, X, LatencyTable(ms))


def test_the_needed_layers_are_those_of_all_subnets(tiny_space):
    X = tiny_space.layout.sample(np.random.default_rng(0), 500)
    subnets = [tiny_space.layout.decode(x) for x in X]
    found = {signature(layer) for s in subnets for layer in layer_specs(tiny_space, s)}
    assert needed_signatures(tiny_space) == sorted(found)


def test_a_byte_order_mark_and_empty_lines_are_no_mistake(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfsignature,ms\r\nconv-1-8-k3-s1-28px-w8a8,0.1\r\n\r\n")
    assert LatencyTable.load(path).values == {"conv-1-8-k3-s1-28px-w8a8": 0.1}


def test_layers_of_other_genomes_may_be_missing(tiny_space):
    X = tiny_space.layout.lowest()[None]
    table = _measured(tiny_space, X, np.random.default_rng(0))
    assert latency_ms(tiny_space, X, table).shape == (1,)
    with pytest.raises(ValueError, match="lacks 21 of the layers"):
        latency_ms(tiny_space, tiny_space.layout.highest()[None], table)


def test_no_genomes_have_no_latency(tiny_space):
    X = np.empty((0, tiny_space.layout.n_genes), dtype=np.int64)
    assert latency_ms(tiny_space, X, LatencyTable({"a": 1.0})).shape == (0,)


def test_load_inverts_save(tiny_space, tmp_path):
    X = tiny_space.layout.lowest()[None]
    table = _measured(tiny_space, X, np.random.default_rng(0))
    table.save(tmp_path / "latency.csv")
    found = LatencyTable.load(tmp_path / "latency.csv")
    assert (found.values, found.unit) == (table.values, "ms")


def test_a_table_of_instructions_keeps_its_unit_and_gives_no_milliseconds(tiny_space, tmp_path):
    X = tiny_space.layout.lowest()[None]
    LatencyTable(_measured(tiny_space, X, np.random.default_rng(0)).values, "minstructions").save(
        tmp_path / "t.csv"
    )
    table = LatencyTable.load(tmp_path / "t.csv")
    assert (table.unit, table.column) == ("minstructions", "minstructions")
    assert table_costs(tiny_space, X, table)[0] > 0
    with pytest.raises(ValueError, match="needs a table in ms, and this one is in minstructions"):
        latency_ms(tiny_space, X, table)


def test_the_map_that_squeeze_excite_pools_is_in_its_signature(tiny_space):
    stages = tuple(replace(stage, has_se=True) for stage in tiny_space.stages)
    layers = layer_specs(replace(tiny_space, name="gated", stages=stages), tiny_space.largest())
    sizes = {la.block: la.out_size for la in layers if la.kind == "depthwise"}
    gates = [la for la in layers if la.kind == "squeeze_excite"]
    assert gates
    for layer in gates:
        assert f"-{sizes[layer.block]}px-" in signature(layer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must be signature,ms or signature,minstructions"),
        ("layer,ms\na,1\n", "the first line must be signature,ms"),
        ("signature,ms\n", "at least one layer"),
        ("signature,ms\na,fast\n", "line 2: expected a signature and a number"),
        ("signature,ms\na,1,2\n", "line 2: expected a signature and a number"),
        ("signature,ms\na,1\na,2\n", "line 3: a is there twice"),
        ("signature,ms\na,nan\n", "latency of a must be finite"),
        ("signature,ms\na,-1\n", "latency of a must be finite and at least 0"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path, text, message):
    path = tmp_path / "latency.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        LatencyTable.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read latency table .*gone\.csv"):
        LatencyTable.load(tmp_path / "gone.csv")
