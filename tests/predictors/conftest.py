"""A space that can be counted by hand, and the real accuracies of a published one."""

from __future__ import annotations

import numpy as np
import pytest

import search_spaces
from search_spaces import SearchSpace, Stage
from tests.reference import check_files


@pytest.fixture(scope="session")
def tiny_space() -> SearchSpace:
    """One block in one stage; only the bits are free."""
    return SearchSpace(
        name="tiny",
        input_channels=1,
        n_classes=3,
        resolutions=(8,),
        bit_choices=(2, 4),
        stem_width=8,
        stages=(Stage(width=8, stride=2, depths=(1,), kernel_sizes=(3,), expand_ratios=(2,)),),
        final_expand_width=16,
        feature_mix_width=8,
    )


@pytest.fixture(scope="session", params=check_files("data/ofa_mbv3_w10_imagenet.csv"))
def imagenet_samples(request):
    """Space, genomes, macs, params and top-1 of float subnets: published, or made up."""
    rows = np.genfromtxt(request.param, delimiter=",", names=True)
    table = np.array(rows.tolist())
    space = search_spaces.load("ofa-mobilenet-v3-w1.0")
    genes = np.c_[table[:, :45].astype(int), np.full(len(table), 224)]
    return space, space.layout.from_published(genes), rows
