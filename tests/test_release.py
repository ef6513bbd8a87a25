"""A release: its tag, the changelog's section as its text, links that work elsewhere, and the workflow that does it."""

import configparser
import pathlib
import re

import pytest

from scripts import release, smoke_test

yaml = pytest.importorskip("yaml")

pytestmark = pytest.mark.backend("tensorflow")  # nothing in here depends on the backend

ROOT = pathlib.Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github/workflows"
CHANGELOG = """# Changelog

## 0.10.0 (2027-01-01)

- New: a line
  that goes on, see [state](docs/state.md#saving).
  - A point of its own.

Text
that goes on.

    code
    on two lines

## 0.1.0

First.

## 0.0.1
"""


def test_a_section_of_the_changelog_is_found_by_its_version():
    assert release.section(CHANGELOG, "0.1.0") == "First."
    assert release.section(CHANGELOG, "0.10.0").startswith("- New: a line\n")
    assert release.section(CHANGELOG, "0.10.0").endswith("on two lines")


@pytest.mark.parametrize(
    ("number", "said"), [("0.1", "has no section '## 0.1'"), ("0.0.1", "has nothing in its section"), ("0x1.0", "has no section")]
)
def test_a_version_without_a_section_is_refused(number, said):
    with pytest.raises(ValueError, match=r"its sections: 0\.10\.0, 0\.1\.0, 0\.0\.1") as refused:
        release.section(CHANGELOG, number)
    assert said in str(refused.value)


def test_a_paragraph_becomes_one_line():
    assert release.unwrapped(release.section(CHANGELOG, "0.10.0")).splitlines() == [
        "- New: a line that goes on, see [state](docs/state.md#saving).",
        "  - A point of its own.",
        "",
        "Text that goes on.",
        "",
        "    code",
        "    on two lines",
    ]
    assert release.unwrapped("```\na\nb\n```\nc\nd") == "```\na\nb\n```\nc d"


def test_links_to_files_become_addresses():
    def rewritten(markdown):
        return release.with_addresses(markdown, "https://github.com/O/N/", "v1")

    files, pictures = "https://github.com/O/N/blob/v1/", "https://github.com/O/N/raw/v1/"
    assert rewritten("[a](docs/a.md#b)") == f"[a]({files}docs/a.md#b)"
    assert rewritten("![A picture\nof it](docs/a.png)") == f"![A picture\nof it]({pictures}docs/a.png)"
    assert rewritten("[![A](a.png)](b.md)") == f"[![A]({pictures}a.png)]({files}b.md)"
    for kept in ("[a](https://example.org)", "[a](#below)", "[a](mailto:a@example.org)", "a[0](1 + 2)", "[no link] (a)"):
        assert rewritten(kept) == kept


def test_of_the_readme_no_link_leads_nowhere_on_another_site():
    text = release.with_addresses((ROOT / "README.md").read_text(), "https://github.com/O/N", "v1")
    assert re.findall(r"\]\((?!https?://|#)[^)]*\)", text) == []
    assert re.findall(r'(?:src|srcset|href)="(?!https?://|#)[^"]*"', text) == []


def test_the_tag_must_be_the_version(capsys):
    setup = configparser.RawConfigParser()
    setup.read(ROOT / "setup.cfg")
    number = setup["metadata"]["version"]
    assert release.main(["check", f"v{number}"]) == 0
    assert release.main(["notes", f"v{number}", "--repository", "https://github.com/O/N"]) == 0
    assert len(capsys.readouterr().out) > 100
    for wrong in (number, f"v{number}.1"):
        assert release.main(["check", wrong]) == 1
        assert f"The tag must be v{number}" in capsys.readouterr().err


# -- the workflows --------------------------------------------------------------------------------


def workflow(name):
    return yaml.load((WORKFLOWS / f"{name}.yml").read_text(), Loader=yaml.BaseLoader)  # `on` is no truth value


def steps(job):
    return " ".join(f"{step.get('run', '')} {step.get('uses', '')}" for step in job["steps"])


def test_a_release_is_published_only_after_its_tests_and_its_smoke_test():
    jobs = workflow("release")["jobs"]
    assert workflow("release")["on"]["push"] == {"tags": ["v*"]}
    order, waits = [], {name: job.get("needs", []) for name, job in jobs.items()}
    while waits:
        ready = [name for name, needs in waits.items() if set([needs] if isinstance(needs, str) else needs) <= set(order)]
        assert ready, waits
        order += ready
        waits = {name: needs for name, needs in waits.items() if name not in ready}
    assert set(jobs["publish"]["needs"]) == {"tests", "smoke"}
    assert jobs["smoke"]["strategy"]["matrix"]["python"] == list(smoke_test.VERSIONS)
    assert "scripts/release.py check" in steps(jobs["build"])
    assert "scripts/release.py notes" in steps(jobs["build"])
    assert "twine check --strict" in steps(jobs["build"])
    assert "pypa/gh-action-pypi-publish@" in steps(jobs["publish"])


def test_only_the_job_that_publishes_may_ask_for_a_token():
    found = workflow("release")
    assert found["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in found["jobs"].items() if "permissions" in job}
    assert rights == {"publish": {"id-token": "write"}, "release": {"contents": "write"}}


def test_the_workflow_of_the_tests_has_each_environment():
    script = (ROOT / "scripts/test.sh").read_text()
    environments = re.search(r"--all\) environments=\((.*?)\)", script)[1].split()
    matrix = workflow("tests")["jobs"]["tests"]["strategy"]["matrix"]["environment"]
    assert matrix == environments


@pytest.mark.parametrize("path", sorted(WORKFLOWS.iterdir()), ids=lambda path: path.name)
def test_scripts_that_a_workflow_calls_are_there(path):
    found = re.findall(r"(?<![\w/])scripts/\w+\.\w+", path.read_text())
    assert found
    assert [name for name in found if not (ROOT / name).is_file()] == []
