"""Pages of the site that are made from the code and from files elsewhere in the repository.

MkDocs calls the functions by their names while it builds the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def command_line() -> str:
    """The reference of every command and option, as Markdown."""
    import click
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from qfa_search.cli import app

    command = get_command(app)
    name = "qfa-search"
    context = click.Context(command, info_name=name)  # type: ignore[arg-type]
    text = get_docs_for_click(obj=command, ctx=context, name=name)  # type: ignore[arg-type]
    # Names of values such as NAME|FILE or <int> are text, not tags.
    return str(re.sub(r"^# `qfa-search`", "# Command line\n\n## `qfa-search`", text))


def on_files(files: Files, config: Any) -> Files:
    """Add the reference, the changelog and the results of the benchmarks."""
    made = {
        "reference/command-line.md": command_line(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    benchmarks = ROOT / "benchmarks"
    for path in sorted((benchmarks / "results").rglob("*")):
        if path.suffix in (".md", ".png", ".csv"):
            name = path.relative_to(benchmarks).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn equations into MathML, and links to benchmarks' results into links inside the site.

    Browsers draw MathML themselves: no page of the site needs a script from elsewhere.
    """
    from latex2mathml.converter import convert

    markdown = re.sub(
        r"^```math\n(.*?)\n```$",
        lambda found: convert(found[1], display="block"),
        markdown,
        flags=re.DOTALL | re.MULTILINE,
    )
    # In a span, because Markdown takes an equation at the start of a line for a block.
    markdown = re.sub(r"\$`(.+?)`\$", lambda found: f"<span>{convert(found[1])}</span>", markdown)
    return markdown.replace("](../benchmarks/results/", "](results/")
