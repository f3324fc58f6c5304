import json
import re
from dataclasses import replace

import pytest

import qfa_search
from qfa_search.errors import QFAError
from qfa_search.report.content import ReportedFront, page_content
from qfa_search.report.page import page_html
from search_spaces.bit_choices import BIT_WIDTHS


def _html(front, name="a", **known):
    return page_html(page_content([ReportedFront(front=front, name=name, file="f", **known)], {}))


def _data(html):
    return json.loads(re.search(r'id="content">(.*?)</script>', html, re.DOTALL)[1])


def test_hostile_names_end_no_element(front):
    from tests.qfa_search.report.conftest import HOSTILE

    space = replace(front.space, name=HOSTILE)
    html = _html(replace(front, space=space), name=HOSTILE)
    harmless = _html(front)
    for tag in ("<script", "</script", "<img", "<style", "</title"):
        assert html.lower().count(tag) == harmless.lower().count(tag), tag
    data = _data(html)
    assert data["fronts"][0]["name"] == data["fronts"][0]["class_names"][3] == HOSTILE


def test_the_page_asks_nothing_of_any_network(front, samples):
    html = _html(front, samples=samples)
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.findall(r"<(?:link|img|iframe|script[^>]* src)", html)
    assert "default-src 'none'" in html


def test_equal_fronts_give_equal_pages_in_any_folder(front, tmp_path):
    for name in ("a", "b"):
        front.save(tmp_path / name / "front.json")
        front.report(tmp_path / name / "report.html")
    pages = [(tmp_path / name / "report.html").read_bytes() for name in ("a", "b")]
    assert pages[0] == pages[1]


def test_a_page_is_written_anew_and_nothing_else_is(front, tmp_path):
    page = tmp_path / "report.html"
    front.report(page)
    front[:5].report(page)
    assert len(_data(page.read_text())["fronts"][0]["top1_predicted"]) == 5
    page.write_text("<p>my own notes</p>")
    with pytest.raises(QFAError, match="no page of qfa-search"):
        qfa_search.write_report(front, page)
    assert page.read_text() == "<p>my own notes</p>"


def test_every_part_of_the_template_is_used():
    from qfa_search.report.page import SCRIPTS, files

    parts = {path.name for path in (files("qfa_search.report") / "template").iterdir()}
    assert parts == {"page.html", "page.css", *(f"{name}.js" for name in SCRIPTS)}


def test_every_bit_width_has_a_colour():
    from qfa_search.report.page import files

    style = (files("qfa_search.report") / "template" / "page.css").read_text(encoding="utf-8")
    for bits in BIT_WIDTHS:
        assert f".b{bits} {{ background: var(--bits-{bits});" in style
        assert f"--bits-{bits}: #" in style
