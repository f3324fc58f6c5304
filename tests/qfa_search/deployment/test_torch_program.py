import json

import numpy as np
import torch

from qfa_search.deployment.engines import torch_program_engine
from qfa_search.deployment.plan import network_plan
from qfa_search.deployment.replay import replay
from qfa_search.deployment.torch_program import METADATA, save_program
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
