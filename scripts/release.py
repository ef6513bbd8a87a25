"""What a release needs beside the build: the check of its tag, its text from the changelog, a README whose links work on PyPI.

    python scripts/release.py check v0.1.0
    python scripts/release.py notes v0.1.0 --repository https://github.com/OWNER/NAME > notes.md
    python scripts/release.py readme v0.1.0 --repository https://github.com/OWNER/NAME

`check` fails unless the tag is the version of setup.cfg after a v, and the changelog has a section on that version. `notes`
prints that section. `readme` rewrites README.md in its place, for the build that follows. In both of these, links to files of
the repository become addresses of them at that tag. `.github/workflows/release.yml` runs the three.
"""

from __future__ import annotations

import argparse
import configparser
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
LINK = re.compile(r"(!?)(\[(?:[^][]|\[[^]]*\])*\]\()(?![a-z+]+:|#)([^)\s]+)\)")
STARTS_ANEW = re.compile(r" *(?:[-*+>|#]|\d+\.|```)")


def version(setup: str) -> str:
    """The version that the text of setup.cfg says."""
    parser = configparser.RawConfigParser()
    parser.read_string(setup)
    return parser["metadata"]["version"]


def section(changelog: str, number: str) -> str:
    """What the text of the changelog says on a version, without the heading.

    Raises:
        ValueError: it has no section on that version, or an empty one.
    """
    found = re.search(rf"^## {re.escape(number)}(?: [^\n]*)?\n(.*?)(?=^## |\Z)", changelog, flags=re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        there = re.findall(r"^## (\S+)", changelog, flags=re.MULTILINE)
        what = "has nothing in its section" if found else "has no section"
        raise ValueError(f"CHANGELOG.md {what} '## {number}'; its sections: {', '.join(there) or 'none'}.")
    return found[1].strip()


def unwrapped(markdown: str) -> str:
    """The same with each paragraph on one line: in the text of a release GitHub shows each line's end as one."""
    lines: list[str] = []
    is_code = False
    for line in markdown.splitlines():
        before = lines[-1] if lines else ""
        fence = line.lstrip().startswith("```")
        goes_on = before.strip() and line.strip() and not STARTS_ANEW.match(line) and not before.lstrip().startswith(("```", "#"))
        if goes_on and not is_code and not (line.startswith("    ") and before.startswith("    ")):
            lines[-1] = f"{before} {line.strip()}"
        else:
            lines.append(line)
        is_code ^= fence
    return "\n".join(lines)


def with_addresses(markdown: str, repository: str, tag: str) -> str:
    """The same with addresses in the place of links to files: GitHub's pages at this tag, of pictures the files themselves."""

    def address(link: re.Match) -> str:
        picture, label, path = link.groups()
        label = with_addresses(label, repository, tag) if "](" in label[:-2] else label  # a picture that is a link
        return f"{picture}{label}{repository.rstrip('/')}/{'raw' if picture else 'blob'}/{tag}/{path})"

    return LINK.sub(address, markdown)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["check", "notes", "readme"])
    parser.add_argument("tag", help="such as v0.1.0")
    parser.add_argument(
        "--repository", metavar="URL", help="where the files are to be seen, such as https://github.com/OWNER/NAME"
    )
    given = parser.parse_args(arguments)
    if given.what != "check" and given.repository is None:
        parser.error(f"{given.what} needs --repository.")
    try:
        wanted = f"v{version((ROOT / 'setup.cfg').read_text())}"
        if given.tag != wanted:
            raise ValueError(f"The tag must be {wanted}, as setup.cfg has that version; received {given.tag}.")
        notes = section((ROOT / "CHANGELOG.md").read_text(), given.tag.removeprefix("v"))
    except ValueError as error:
        print(f"release.py: {error}", file=sys.stderr)
        return 1
    if given.what == "notes":
        print(with_addresses(unwrapped(notes), given.repository, given.tag))
    if given.what == "readme":
        readme = ROOT / "README.md"
        readme.write_text(with_addresses(readme.read_text(), given.repository, given.tag))
    return 0


if __name__ == "__main__":
    sys.exit(main())
