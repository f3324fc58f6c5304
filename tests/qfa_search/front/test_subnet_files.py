from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import search_spaces
from qfa_search.errors import CheckpointMismatchError
from qfa_search.front.subnet_files import MissingSpaceError, read_subnets


@pytest.fixture
def front_file(rising_front, tmp_path):
    path = tmp_path / "front.json"
    rising_front.save(path)
    return path


@pytest.mark.parametrize(
    ("member", "index"), [("0", 0), ("7", 7), ("best", 11), ("knee", None), (None, None)]
)
def test_a_member_of_a_front_is_read_by_its_name(front_file, rising_front, member, index):
    read = read_subnets(f"{front_file}:{member}" if member else front_file)
    if member is None:
        assert read.indices.tolist() == list(range(12))
        with pytest.raises(ValueError, match=r"has 12 subnets, one is needed: .*:knee or :best"):
            read.the_only_one()
        return
    index = rising_front.knee_index() if index is None else index
    assert read.indices.tolist() == [index]
    assert read.the_only_one() == rising_front[index].subnet
    assert read.top1_predicted[0] == rising_front.top1_predicted[index]


@pytest.mark.parametrize("member", ["kneee", "-1", "1.5", "", "1" * 30])
def test_a_name_that_no_member_has_is_refused(front_file, toy_space, member):
    with pytest.raises(ValueError, match=r"has no member .*: give an index, knee or best"):
        read_subnets(f"{front_file}:{member}", toy_space, None)


def test_a_member_that_is_not_there_is_refused(front_file, toy_space, tmp_path):
    with pytest.raises(ValueError, match="has no member 12: its 12 members are 0 to 11"):
        read_subnets(f"{front_file}:12")
    subnet = tmp_path / "subnet.json"
    subnet.write_text(json.dumps(toy_space.smallest().to_dict()))
    with pytest.raises(ValueError, match="is no front"):
        read_subnets(f"{subnet}:knee", toy_space)
    assert read_subnets(subnet, toy_space).the_only_one() == toy_space.smallest()


def test_a_file_with_a_colon_in_its_name_is_that_file(rising_front, tmp_path):
    path = tmp_path / "front.json:3"
    rising_front.save(path)
    assert len(read_subnets(path).X) == 12


def test_another_space_or_supernet_is_refused(front_file, toy_space):
    with pytest.raises(CheckpointMismatchError, match="not of this other"):
        read_subnets(front_file, replace(toy_space, name="other"))
    with pytest.raises(CheckpointMismatchError, match="was found on supernet 0123456789abcdef"):
        read_subnets(front_file, toy_space, "fedcba9876543210")
    assert len(read_subnets(front_file, toy_space, "0123456789abcdef").X) == 12


def test_a_subnet_needs_a_space(toy_space, tmp_path):
    path = tmp_path / "subnet.json"
    path.write_text(json.dumps(toy_space.smallest().to_dict()))
    with pytest.raises(MissingSpaceError, match="give --space"):
        read_subnets(path)


def test_architectures_of_once_for_all_are_read(tmp_path):
    space = search_spaces.load("ofa-mobilenet-v3-w1.0")
    x = space.layout.sample(np.random.default_rng(0), 1)
    genes = space.layout.to_published(x)[0].tolist()
    data = {"wid": None, "ks": genes[:20], "e": genes[20:40], "d": genes[40:45], "r": [224]}
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(data))
    assert (x == read_subnets(path, space).X).all()
    for changed in ({"r": 224}, {"r": None}):
        path.write_text(json.dumps({k: v for k, v in {**data, **changed}.items() if v}))
        assert (x == read_subnets(path, space).X).all()
    path.write_text(json.dumps({**data, "d": [2, 2]}))
    with pytest.raises(ValueError, match=r"expected 5 numbers of depth, got \[2, 2\]"):
        read_subnets(path, space)
    with pytest.raises(ValueError, match="has no bits"):
        read_subnets(path, search_spaces.load("mobilenet-v3-w1.2"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"stages": NaN}', "NaN is no number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"resolution": 16, "resolution": 12}', "there twice"),
        ("7", "neither a subnet nor a front"),
    ],
)
def test_what_is_no_subnet_is_refused_in_a_line(toy_space, tmp_path, text, told):
    path = tmp_path / "subnet.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
        read_subnets(path, toy_space)


def test_a_byte_order_mark_is_no_mistake(toy_space, tmp_path):
    path = tmp_path / "subnet.json"
    path.write_text(json.dumps(toy_space.smallest().to_dict()), encoding="utf-8-sig")
    assert read_subnets(path, toy_space).the_only_one() == toy_space.smallest()
