"""A space as the TOML text that `load` reads.

Written by hand: a TOML library puts every number of a list on a line of its own, and a space has
dozens; and this package needs NumPy alone.
"""

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
    # Strings, numbers, booleans and lists of numbers are written alike in JSON and TOML, but for
    # one control character and JSON's pairs of surrogates.
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
    return "".join(lines).replace("\x7f", "\\u007f")
