import base64
import re
from dataclasses import replace

import numpy as np

from predictors import cost_arrays
from qfa_search.front.front import ParetoFront


def _front(space, n=30):
    X = np.unique(space.layout.sample(np.random.default_rng(0), n), axis=0)
    unknown = np.full(len(X), np.nan)
    return ParetoFront(
        space=space,
        X=X,
        costs=cost_arrays(space, X),
        top1_predicted=np.linspace(60, 70, len(X)),
        top1_spread=unknown,
        top1_measured=unknown,
    )


def test_a_notebook_gets_a_picture_and_a_table_of_the_front(toy_space):
    front = _front(toy_space)
    html = front._repr_html_()
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', html)[1]
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    rows = [int(index) for index in re.findall(r"<th>(\d+)</th>", html)]
    assert rows == front.overview()
    assert front.knee_index() in rows
    assert {0, len(front) - 1} < set(rows)
    assert "top1_predicted" in html
    assert "top1_measured" not in html  # nothing was
    assert "extrapolates" not in html
    assert "<script" not in html


def test_names_are_text_in_a_notebook(toy_space):
    front = _front(replace(toy_space, name="<b>&"))
    assert "<b>&" not in front._repr_html_()
    assert "&lt;b&gt;&amp;" in front._repr_html_()


def test_a_front_without_members_is_told_in_words(toy_space):
    assert "of 0 subnets of toy" in _front(toy_space).subset([])._repr_html_()
