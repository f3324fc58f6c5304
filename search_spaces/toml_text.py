"""A space as the TOML text that `load` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from search_spaces.space import SearchSpace


def to_toml(space: SearchSpace) -> str:
    """The text of a `.toml` file that describes `space`."""
    values = space.to_dict()
    stages, table_widths = values.pop("stages"), values.pop("table_widths", None)
    blocks = [_lines(values)]
    blocks += ["[[stages]]\n" + _lines(stage) for stage in stages]
    if table_widths is not None:
        blocks.append("[table_widths]\n" + _lines(table_widths))
    return "\n".join(blocks)


def _lines(values: Mapping[str, Any]) -> str:
    # Strings, numbers, booleans and lists of numbers are written alike in JSON and TOML.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
