"""What the documents hold: blocks of code, commands, sections."""

from __future__ import annotations

import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^ *```(.*)\n((?:.*\n)*?) *```$", flags=re.MULTILINE)
_OPTIONS = re.compile(r"^::: .*\n(?: +.*\n)*", flags=re.MULTILINE)  # of mkdocstrings
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+")
_CODE = re.compile(rf"({_INDENTED.pattern})|(?<!`)`([^`]+)`(?!`)")
PROGRAMS = ("keras-optims", "python", "pip", "ray", "mkdocs")


def text_of(page: pathlib.Path) -> str:
    """The page, with commands that go on in the next line as one line."""
    return re.sub(r" \\\n +", " ", page.read_text())


def fences(page: pathlib.Path) -> list[tuple[str, str]]:
    """(language, text) of each block between ```."""
    return _FENCE.findall(text_of(page))


def python_blocks(page: pathlib.Path) -> list[str]:
    """The blocks of Python, which are one program together."""
    return [text for language, text in fences(page) if language == "python"]


def indented_blocks(page: pathlib.Path) -> list[list[str]]:
    """The lines of each other block of code."""
    found = _INDENTED.findall(_OPTIONS.sub("", _FENCE.sub("", text_of(page))))
    return [[line.removeprefix("    ") for line in block.strip("\n").splitlines()] for block in found]


def inline_code(page: pathlib.Path) -> list[str]:
    """What stands between two `."""
    found = _CODE.findall(_OPTIONS.sub("", _FENCE.sub("", text_of(page))))
    return [" ".join(code.split()) for _, code in found if code]


def lines_beginning(page: str, beginning: str) -> str:
    """The one indented block of a page that begins so, as one text."""
    (lines,) = (lines for lines in indented_blocks(ROOT / page) if lines[0].startswith(beginning))
    return "\n".join(lines)


def is_command(line: str) -> bool:
    """Whether one would type it in a shell."""
    words = [word for word in words_of(line) if not re.match(r"[A-Z_]+=", word)]
    return bool(words) and (words[0] in PROGRAMS or words[0].startswith(("scripts/", ".venvs/", "$(scripts/")))


def words_of(command: str) -> list[str]:
    """A line as a shell splits it, without its comment; nothing if no shell could."""
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return []


def without_comment(command: str) -> str:
    """A command as one types it."""
    return re.sub(r"\s+# .*", "", command)


def commands(page: pathlib.Path) -> list[str]:
    """All commands of a page, each once, in their order: those in blocks, and those in the text that have arguments."""
    found = []
    for block, code in _CODE.findall(_OPTIONS.sub("", _FENCE.sub("", text_of(page)))):
        lines = [line.strip() for line in block.splitlines()]
        found += [without_comment(line) for line in lines if is_command(line)]
        found += [code] if is_command(code) and (len(words_of(code)) > 2 or code.startswith("python")) else []
    return list(dict.fromkeys(" ".join(command.split()) for command in found))


def sections(page: pathlib.Path) -> list[str]:
    """The text from one heading to the next."""
    return re.split(r"^#+ ", _FENCE.sub("", text_of(page)), flags=re.MULTILINE)
