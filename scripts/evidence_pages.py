"""Renews what docs/which.md, docs/which.ko.md and pages of optimizers say of the tables in docs/evidence, and the picture.

    python scripts/evidence_pages.py [--tables DIR] [--check]

A page has the tables and the sentences with their numbers between lines `<!-- NAME -->` and `<!-- end of NAME -->`. A sentence
that the tables do not support any more is an error that says which one: a person has to write another. An optimizer whose range
or default the tables show to be poor has such lines, of the name `evidence`, in docs/optimizers.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts import evidence_blocks, evidence_defaults, evidence_text  # noqa: E402
from scripts.evidence_pictures import draw  # noqa: E402
from scripts.evidence_results import Evidence  # noqa: E402
from scripts.evidence_runs import OPTIMIZERS  # noqa: E402
from scripts.evidence_tables import FOLDER  # noqa: E402
from tuning.errors import SearchError  # noqa: E402
from tuning.store.files import replacing  # noqa: E402

PAGES = {ROOT / "docs" / "which.md": False, ROOT / "docs" / "which.ko.md": True}
"""Whether they are in Korean."""

PICTURE = ROOT / "docs" / "pictures" / "which.png"
NARROW = PICTURE.with_name("which.narrow.png")

BLOCKS = {
    "problems": evidence_text.problems,
    "recommendations": evidence_text.recommendations,
    "results": evidence_blocks.results_table,
    "costs": evidence_blocks.costs_table,
    "shares": evidence_text.shares,
    "significance": evidence_text.significance,
    "published": evidence_text.published,
    "ranges": evidence_defaults.ranges,
}


def renewed(text: str, evidence: Evidence, korean: bool) -> str:
    """A page with its blocks as the tables have them."""
    for name, block in BLOCKS.items():
        text = replaced(text, name, block(evidence, korean))
    return text


def replaced(text: str, name: str, content: str) -> str:
    """A page with something else in the block of this name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SearchError(f"A page must have {begin} and {end} once each; it has {text.count(begin)} and {text.count(end)}.")
    whole = f"{begin}\n\n{content}\n\n{end}"
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: whole, text, flags=re.DOTALL)


def all_renewed(evidence: Evidence) -> dict[pathlib.Path, str]:
    """All pages that say something of the tables, with what they must say."""
    texts = {page: renewed(page.read_text(encoding="utf-8"), evidence, korean) for page, korean in PAGES.items()}
    return texts | optimizers_renewed(evidence)


def optimizers_renewed(evidence: Evidence) -> dict[pathlib.Path, str]:
    """The pages of optimizers that say something of the tables.

    Raises:
        SearchError: a page lacks its block, or has one that the tables give no reason for.
    """
    texts, noted = {}, evidence_defaults.noted(evidence)
    for optimizer in evidence.optimizers:
        page = ROOT / "docs" / "optimizers" / f"{optimizer}.md"
        text = page.read_text(encoding="utf-8")
        if optimizer in noted:
            try:
                texts[page] = replaced(text, "evidence", evidence_defaults.note(evidence, optimizer))
            except SearchError as error:
                raise SearchError(f"{page.name}: {error}") from None
        elif "<!-- evidence -->" in text:
            raise SearchError(f"{page.name} has <!-- evidence -->, but its range and its default are not poor any more.")
    return texts


def main(arguments=None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=pathlib.Path, default=FOLDER, metavar="DIR", help="default: docs/evidence")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a page is not up to date")
    chosen = parser.parse_args(arguments)
    try:
        evidence = Evidence.read(chosen.tables)
        missing = [name for name in OPTIMIZERS if evidence.cost(next(iter(evidence.problems), ""), name) is None]
        if missing:
            raise SearchError(
                f"The pages compare all optimizers; in {chosen.tables}, evidence.py and evidence_cost.py have not done "
                f"{', '.join(missing)} on any problem."
            )
        texts = all_renewed(evidence)
    except SearchError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.check:
        stale = [page.name for page, text in texts.items() if page.read_text(encoding="utf-8") != text]
        print(f"not up to date: {', '.join(stale)}" if stale else "up to date")
        return 1 if stale else 0
    for page, text in texts.items():
        with replacing(page) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(page)
    draw(evidence, PICTURE)
    draw(evidence, NARROW, narrow=True)
    print(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
