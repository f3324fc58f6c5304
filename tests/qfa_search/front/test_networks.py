import json
import shutil

import pytest

import qfa_search
from qfa_search.errors import DataError
from qfa_search.images.sources import open_data
from qfa_search.measuring.scoring import EVALUATION_BATCH
from qfa_search.measuring.subnets import measure_all, measure_config


def _evaluated(network, image_folder):
    space = network.space
    data = open_data(str(image_folder), channels=1, resolution=max(space.resolutions))
    batches = data.images("val").batches(network.subnet.resolution, EVALUATION_BATCH)
    return qfa_search.evaluate(network, batches)


@pytest.mark.parametrize(("member", "row"), [("0", 0), ("1", 1), ("knee", 0)])
def test_the_network_is_the_one_that_was_measured(toy_run, image_folder, toy_front, member, row):
    network = qfa_search.network(toy_run, f"{toy_front}:{member}", data=image_folder)
    config = measure_config(toy_run / "supernet.safetensors", str(image_folder))
    X = qfa_search.ParetoFront.load(toy_front).X
    assert _evaluated(network, image_folder) == measure_all(config, X)[row]


def test_a_subnet_a_member_and_a_file_give_the_same_network(
    toy_run, image_folder, toy_front, tmp_path
):
    member = qfa_search.ParetoFront.load(toy_front)[1]
    file = tmp_path / "subnet.json"
    file.write_text(json.dumps(member.subnet.to_dict()))
    states = [
        qfa_search.network(toy_run, subnet, data=image_folder).state_dict()
        for subnet in (member, member.subnet, file)
    ]
    for name, value in states[0].items():
        assert all((state[name] == value).all() for state in states[1:])


@pytest.mark.parametrize("end", ["", ":2", ":-1", ":first"])
def test_a_front_without_the_index_of_a_member_names_no_subnet(
    toy_run, image_folder, toy_front, end
):
    with pytest.raises(ValueError, match=r"front\.json"):
        qfa_search.network(toy_run, f"{toy_front}{end}", data=image_folder)


def test_the_images_are_by_default_those_that_the_supernet_names(
    toy_run, image_folder, toy_front, tmp_path, monkeypatch
):
    with pytest.raises(DataError, match="--data"):
        qfa_search.network(toy_run, f"{toy_front}:0")
    shutil.copytree(image_folder, tmp_path / image_folder.name)
    monkeypatch.chdir(tmp_path)
    assert qfa_search.network(toy_run, f"{toy_front}:0").space.name == "toy"
