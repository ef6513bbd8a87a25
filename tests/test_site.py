"""The documentation as a website: it is built without a warning, is whole, and fetches nothing from elsewhere."""

import functools
import html.parser
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse

import pytest

from tests.tuning import browsing

pytest.importorskip("mkdocs", reason="The extra docs is not installed.")
pytestmark = pytest.mark.backend("tensorflow")

ROOT = pathlib.Path(__file__).parents[1]
FETCHED = {
    *(
        ("script", "src"),
        ("link", "href"),
        ("img", "src"),
        ("img", "srcset"),
        ("iframe", "src"),
        ("source", "src"),
        ("source", "srcset"),
    ),
    *(("video", "src"), ("audio", "src"), ("object", "data"), ("embed", "src"), ("use", "href"), ("image", "href")),
}


BROWSED = (
    *("index.html", "install.html", "notebook.html", "story.ko.html", "claims.html", "performance.html"),
    *("optimizers/adam.html", "api/tuning.html"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder with the site."""
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


class Page(html.parser.HTMLParser):
    """What a page fetches, links to, and can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.fetched, self.links, self.anchors, self.language = [], [], set(), None
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.fetched += [value for name, value in attrs if (tag, name) in FETCHED]
        self.fetched += re.findall(r"url\((.*?)\)", given.get("style") or "")
        self.links += [given["href"]] if tag == "a" and "href" in given else []
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.language = given["lang"] if tag == "html" else self.language

    handle_startendtag = handle_starttag


@functools.cache
def page_at(path):
    return Page(path)


def pages(site):
    found = [path for path in site.glob("**/*.html") if path.name != "404.html"]  # a server shows it; its links begin at the root
    assert len(found) > 30
    return found


def is_elsewhere(address):
    parts = urllib.parse.urlsplit(address.strip("'\" "))
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def test_no_page_fetches_anything_from_elsewhere(site):
    assert {address for path in pages(site) for address in page_at(path).fetched if is_elsewhere(address)} == set()
    styles = [path.read_text() for path in site.glob("**/*.css")]
    assert styles
    assert {address for style in styles for address in re.findall(r"url\((.*?)\)", style) if is_elsewhere(address)} == set()
    assert not any("@import" in style for style in styles)
    # For these Material's script fetches: a drawing program for diagrams, and the numbers of a repository.
    assert not any(
        'class="mermaid"' in path.read_text() or 'data-md-component="source"' in path.read_text() for path in pages(site)
    )


def test_every_link_and_picture_leads_to_something_in_the_site(site):
    def is_there(path, address):
        parts = urllib.parse.urlsplit(address)
        target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
        if target.suffix != ".html" or not parts.fragment:
            return target.exists()
        return target.exists() and urllib.parse.unquote(parts.fragment) in page_at(target).anchors

    for path in pages(site):
        page = page_at(path)
        own = [address for address in page.fetched + page.links if not is_elsewhere(address) and not address.startswith("data:")]
        assert [address for address in own if not is_there(path, address)] == [], path


def test_files_outside_of_docs_that_are_linked_to_are_pages(site):
    assert "heavy ball" in (site / "source/keras_optims/algorithms/momentum.py.html").read_text()
    assert "../source/keras_optims/algorithms/momentum.py.html" in page_at(site / "optimizers/momentum.html").links
    assert "source/scripts/claims.py.html" in page_at(site / "claims.html").links
    assert "claims.html" in page_at(site / "index.html").links


def test_formulas_are_mathml(site):
    sources = {"index.html": ROOT / "README.md"}
    sources |= {str(page.relative_to(ROOT / "docs").with_suffix(".html")): page for page in ROOT.glob("docs/**/*.md")}
    number = 0
    for name, source in sources.items():
        text = (site / name).read_text()
        formulas = re.findall(r"^```math$|\$`", source.read_text(), flags=re.MULTILINE)
        assert number_of_formulas(text) == len(formulas), name
        number += len(formulas)
    assert number > 30


def number_of_formulas(text):
    """Of a page; it fails for one with something that the converter does not know, which stays in LaTeX."""
    drawn = re.findall(r"<math .*?</math>", text, flags=re.DOTALL)
    assert [formula for formula in drawn if re.search(r"\\|&amp;|>&<|<merror|\$", formula)] == []
    displayed = re.findall(r'<div class="formulas">(?:<math .*?</math>)+</div>', text, flags=re.DOTALL)
    return len(displayed) + sum('display="inline"' in formula for formula in drawn)


def test_the_notebook_is_a_page_with_its_formulas_and_outputs(site):
    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text())["cells"]
    text, page = (site / "notebook.html").read_text(), page_at(site / "notebook.html")
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert number_of_formulas(text) == len(re.findall(r"\$\$.+?\$\$|\$.+?\$", prose, flags=re.DOTALL)) > 30
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    printed = re.findall(r'<div class="[^"]*\boutput\b', text)
    assert len(printed) == sum(output["output_type"] == "stream" for output in outputs) > 5
    pictures = [address for address in page.fetched if address.startswith("notebook/")]
    assert len(pictures) == sum("image/png" in output.get("data", {}) for output in outputs) > 3
    assert text.count("<table>") == sum("text/html" in output.get("data", {}) for output in outputs) > 0
    assert {"notebook.ipynb", "story.html", "index.html#comparing-optimizers"} <= set(page.links)
    assert "notebook.html" in page_at(site / "index.html").links


def test_search_finds_pages_and_leaves_source_files_out(site):
    index = json.loads((site / "search/search_index.json").read_text())
    found = {part["location"].partition("#")[0] for part in index["docs"]}
    assert {"index.html", "story.ko.html", "optimizers/adam.html", "api/tuning.html"} <= found
    assert not any(location.startswith("source/") for location in found)
    assert "ko" in index["config"]["lang"]


def test_a_page_says_its_language(site):
    assert page_at(site / "story.ko.html").language == "ko"
    assert page_at(site / "story.html").language == "en"


@pytest.mark.slow
def test_the_site_works_in_a_browser_as_files(site, tmp_path):
    """At desktop and phone width, light and dark: no errors, nothing wider than the window; search finds, in both languages."""
    browser = browsing.opened(tmp_path)
    try:
        for dark in (False, True):
            for name in BROWSED:
                for width in (1280, 390):
                    browsing.visit(browser, site / name, width, dark)
                    assert browsing.errors(browser) == [], name
                    too_wide = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
                    assert too_wide <= 0, (name, width)
                    scheme = browser.execute_script("return document.body.dataset.mdColorScheme")
                    assert scheme == ("slate" if dark else "default")
                    assert turned_over(browser) <= {dark}
        for words, where in {"inertia": "claims.html", "모멘텀": "story.ko.html"}.items():
            browsing.visit(browser, site / "index.html", 1280, False)
            assert where in found(browser, words)
            assert browsing.errors(browser) == []
    finally:
        browser.quit()


def turned_over(browser):
    """Whether the pictures of a page, which are drawn on white, are shown with their lightness turned over."""
    filters = browser.execute_script("return [...document.querySelectorAll('article img')].map(i => getComputedStyle(i).filter)")
    return {"invert(1)" in each for each in filters}


def found(browser, words):
    """The addresses that a search shows, once it shows some."""
    box = browser.find_element("css selector", ".md-search__input")
    box.click()
    box.send_keys(words)
    for _ in range(200):
        links = browser.execute_script("return [...document.querySelectorAll('a.md-search-result__link')].map(a => a.href)")
        if links:
            return " ".join(links)
        time.sleep(0.05)
    pytest.fail(f"The search for {words!r} found nothing: {browser.get_log('browser')}")
