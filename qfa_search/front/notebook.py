"""A front as a notebook shows it: a picture, and a table of some members."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DOTS_PER_INCH = 96


def notebook_html(title: str, figure: Figure, frame: pd.DataFrame) -> str:
    """A piece of HTML without a script: title, picture and table; all text is escaped.

    Args:
        title: Text above the picture.
        figure: The picture, embedded as PNG.
        frame: A row for each member to show; columns without any value are left out.
    """
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    table = frame.dropna(axis=1, how="all").to_html(
        border=0, na_rep="-", float_format=lambda value: f"{value:.5g}"
    )
    return (
        f"<p>{escape(title)}</p>"
        f'<img alt="{escape(title)}" src="data:image/png;base64,{picture}">{table}'
    )
