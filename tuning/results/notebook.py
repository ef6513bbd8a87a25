"""What a notebook shows of results. All that a store holds is text there, whatever markup is in it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def html_of(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], line: str = "", notes: Iterable[str] = ()) -> str:
    """A table with a title above it; below it a line of Python to copy, and notes.

    Args:
        title: plain text.
        header: of the columns; an empty one is none.
        rows: of as many cells each.
        line: of Python.
        notes: plain text.
    """
    left = ' style="text-align: left"'
    head = "".join(f"<th{left}>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td{left}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    parts = [f"<div><b>{html.escape(title)}</b></div>"]
    parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    parts += [f"<pre>{html.escape(line)}</pre>"] if line else []
    parts += [f"<div>{html.escape(note)}</div>" for note in notes]
    return f"<div>{''.join(parts)}</div>"


def text_of(value: object) -> str:
    """A hyperparameter or a score in a cell."""
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
