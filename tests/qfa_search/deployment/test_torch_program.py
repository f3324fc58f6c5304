import io
import json
import pickle
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from qfa_search.deployment.engines import torch_program_engine
from qfa_search.deployment.plan import network_plan
from qfa_search.deployment.program_file import check_program
from qfa_search.deployment.replay import replay
from qfa_search.deployment.torch_program import METADATA, save_program
from qfa_search.errors import ExportError
from tests.qfa_search.deployment.networks import random_images, random_network


def test_a_program_runs_equally_at_every_batch_size_and_carries_its_metadata(toy_space, tmp_path):
    network = random_network(toy_space, toy_space.sample(np.random.default_rng(4)))
    plan = network_plan(network)
    path = tmp_path / "m.pt2"
    save_program(plan, path, {"subnet": "this one"})
    images = random_images(toy_space, 8, plan.resolution)
    batches = [(images[:1], None), (images[1:], None)]
    engine = torch_program_engine(path, plan)
    (found,) = replay(network, plan, {"program": engine}, batches)
    assert found.failure is None
    assert found.n_images == 8
    extra = {METADATA: ""}
    torch.export.load(path, extra_files=extra)
    assert json.loads(extra[METADATA]) == {"subnet": "this one"}


class _Starts:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("where", ["sample_inputs/model.pt", "constants/opaque_obj_0", "pickled"])
def test_a_program_that_brings_code_along_is_refused_and_none_is_run(toy_space, tmp_path, where):
    network = random_network(toy_space, toy_space.smallest())
    plan = network_plan(network)
    path, evil, ran = tmp_path / "m.pt2", tmp_path / "evil.pt2", tmp_path / "ran"
    save_program(plan, path, {})
    buffer = io.BytesIO()
    torch.save((_Starts(ran),), buffer)
    with ZipFile(path) as sound, ZipFile(evil, "w") as other:
        for name in sound.namelist():
            content = sound.read(name)
            if name.endswith(where):
                content = buffer.getvalue()
            if where == "pickled" and name.endswith("model_weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
            other.writestr(name, content)
        if where.startswith("constants"):
            root = sound.namelist()[0].partition("/")[0]
            other.writestr(f"{root}/data/{where}", pickle.dumps(_Starts(ran)))
    with pytest.raises(ExportError, match="is refused, as it could run code"):
        torch_program_engine(evil, plan)
    assert not ran.exists()


@pytest.mark.parametrize("text", ["exit()", "__import__('os')", "s0.x"])
def test_sizes_that_are_programs_are_refused(tmp_path, text):
    with ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/models/model.json", json.dumps({"a": [{"expr_str": text}]}))
    with pytest.raises(ExportError, match="other sizes than numbers and symbols"):
        check_program(tmp_path / "m.pt2")
