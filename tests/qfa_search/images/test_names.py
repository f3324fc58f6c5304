import logging

import pytest
from typer.testing import CliRunner

from qfa_search.cli import app
from qfa_search.commands.tables import print_table
from qfa_search.commands.train_report import notes_on_stderr, tell
from qfa_search.images.names import printable, printable_lines


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("katze ü 猫.png", "katze ü 猫.png"),
        ("a\x1b]0;owned\x07.png", r"a\x1b]0;owned\x07.png"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("evil\u202egnp.exe", r"evil\u202egnp.exe"),
        ("bytes\udcff", r"bytes\udcff"),
        ("[red]$x^2$[/]", "[red]$x^2$[/]"),
    ],
)
def test_only_what_is_plainly_visible_is_shown(name, shown):
    assert printable(name) == shown


def test_line_breaks_of_a_message_stay():
    assert printable_lines("a\x07\nb") == "a\\x07\nb"


def test_a_table_shows_markup_and_escapes_as_they_are(capsys):
    print_table(["[b]space[/]", "n"], [["a[/]b", "1"], ["a[red]b\x1b[31m", "2"]])
    out = capsys.readouterr().out
    assert "a[/]b" in out
    assert r"a[red]b\x1b[31m" in out
    assert "[b]space[/]" in out


def test_errors_notes_and_lines_on_stderr_have_no_escapes(capsys):
    tell("a\x1b[31mb")
    with notes_on_stderr(quiet=True):
        logging.getLogger("qfa_search.images.decoding").warning("left out: %s", "c\x1b]0;x\x07")
    result = CliRunner().invoke(app, ["cost", "--space", "fashion-mnist", "\x1b]0;x\x07.json"])
    assert "\x1b" not in capsys.readouterr().err + result.output
    assert r"\x1b]0;x\x07.json" in result.output
