"""The page itself: one HTML file with everything in it, that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from predictors.files import write_text
from qfa_search.errors import QFAError
from qfa_search.front.front import ParetoFront
from qfa_search.report.content import ReportedFront, page_content
from qfa_search.report.sources import reported, stored_beside
from qfa_search.report.versions import package_versions

GENERATOR = '<meta name="generator" content="qfa-search">'
# The page's program, in the order it is put together.
SCRIPTS = ("elements", "plot", "front_plot", "member", "along", "curves", "page")


def write_page(fronts: Sequence[ReportedFront], path: str | Path) -> None:
    """Write the page of one or several fronts, whole or not at all.

    Equal fronts, written by equal versions, give equal pages. A page that is there already is
    written anew: all that it shows is in its fronts.

    Raises:
        ValueError: No fronts, or one without members.
        QFAError: There is a file that is no page of qfa-search.
        OSError: The file cannot be written.
    """
    path = Path(path)
    if path.exists() and not _is_page(path):
        raise QFAError(f"{path} exists and is no page of qfa-search: it stays, name another file")
    write_text(path, page_html(page_content(fronts, package_versions())))


def write_report(front: ParetoFront, path: str | Path, file: str | Path | None = None) -> None:
    """Write the page of one front: one HTML file that works offline.

    Args:
        front: At least one member.
        path: Where to.
        file: Where the front is, or will be, stored, for the commands that the page offers; by
            default a front.json beside the page, if that is this front.

    Raises:
        QFAError: There is a file that is no page of qfa-search.
    """
    stored = stored_beside(front, Path(path)) if file is None else file
    write_page([reported(front, stored, path)], path)


def page_html(content: Mapping[str, Any]) -> str:
    """The page that shows `page_content`'s data.

    Names of spaces, files and classes come from elsewhere: they are put into the page as JSON
    and from there as text, never as markup, and no script but the page's own runs in it.
    """
    style = _part("page.css")
    program = "".join(_part(f"{name}.js") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{program}}})();\n'
    return Template(_part("page.html")).substitute(
        generator=GENERATOR,
        title=_escaped(content["title"]),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        style=style,
        script=script,
        data=_json(content),
    )


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(4096)


def _part(name: str) -> str:
    return (files("qfa_search.report") / "template" / name).read_text(encoding="utf-8")


def _json(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Inside a script element only these could end it or open a comment.
    return text.replace("<", "\\u003c")


def _escaped(text: str) -> str:
    from html import escape

    return escape(text)


def _hash(text: str) -> str:
    """What a content security policy calls an element with this text."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
