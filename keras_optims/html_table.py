"""Tables for notebooks. All that they hold is text there, whatever markup is in it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A table with a title above and lines of text below it.

    Args:
        title: of code, such as the call that makes an optimizer.
        header: of the columns.
        rows: of as many cells each.
        notes: lines.
    """
    left = ' style="text-align: left"'
    head = "".join(f"<th{left}>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td{left}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    below = "".join(f"<div>{html.escape(note)}</div>" for note in notes)
    return (
        f"<div><div><code>{html.escape(title)}</code></div>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    )
