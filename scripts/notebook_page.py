"""A notebook as a page of the site: its text, its code, and what its cells put out.

Formulas in a notebook's notation, $...$ and $$...$$, come out in that of the other pages, so that the site draws them as it does
there.
"""

from __future__ import annotations

import base64
import json
import re

CODE = re.compile(r"(```.*?```|`[^`]*`)", re.DOTALL)


def page(text: str, folder: str) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook, and its pictures by the paths at which the Markdown has them.

    Args:
        text: the notebook's file.
        folder: for the pictures, below that of the page.

    Raises:
        ValueError: a cell has an output that the page cannot show.
    """
    parts, pictures = [], {}
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(with_formulas(source))
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            contents = output.get("data", {})
            if output["output_type"] == "stream":
                parts.append(fenced("".join(output["text"])))
            elif "image/png" in contents:
                name = f"{folder}/{cell['id']}.png"
                pictures[name] = base64.b64decode("".join(contents["image/png"]))
                width = output["metadata"]["image/png"]["width"]
                parts.append(f"![{cell['metadata']['alt']}]({name}){{ width={width} }}")
            elif "text/html" in contents:
                parts.append(table("".join(contents["text/html"])))
            elif "text/plain" in contents:
                parts.append(fenced("".join(contents["text/plain"])))
            else:
                raise ValueError(f"The cell {cell['id']} has an output that a page cannot show: {output['output_type']}.")
    return "\n\n".join(parts) + "\n", pictures


def fenced(text: str) -> str:
    """What a cell printed."""
    return f"``` {{ .text .no-copy .output }}\n{text.rstrip()}\n```"


def table(html: str) -> str:
    """The table of a data frame, without the looks that pandas gives it."""
    found = re.search(r"<table.*</table>", html, flags=re.DOTALL)
    if found is None:
        raise ValueError("Of HTML, a page can show the tables of pandas only.")
    return re.sub(r' (border|class|style)="[^"]*"', "", found[0])


def with_formulas(source: str) -> str:
    """Markdown with formulas in the notation of GitHub's Markdown; what is code stays as it is."""
    pieces = CODE.split(source)
    for i in range(0, len(pieces), 2):
        blocks = re.sub(r"\$\$(.+?)\$\$", r"```math\n\1\n```", pieces[i], flags=re.DOTALL)
        pieces[i] = re.sub(r"\$([^$]+)\$", r"$`\1`$", blocks)
    return "".join(pieces)
