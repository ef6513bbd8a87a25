"""The report in a real browser: drawn, without errors, in light and dark, on a desk and on a phone."""

import time

import pytest

from tests.tuning.browsing import drawn, errors, show
from tests.tuning.hand_made import HOSTILE, MIXED, make_comparison, make_hostile, make_search
from tuning import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """name -> path of a report."""
    folder = tmp_path_factory.mktemp("reports")
    make_search(folder / "mixed", MIXED)
    make_search(folder / "one", ("completed",), trained=1, epochs=1)
    make_search(folder / "diverged", ("diverged",) * 4)
    make_hostile(folder / "hostile")
    make_comparison(folder / "comparison")
    return {name: write_report(folder / name) for name in ("mixed", "one", "diverged", "hostile", "comparison")}


PLOTS = """
return [...document.querySelectorAll(".plot")].map((plot) => {
  const main = plot.querySelector(".main-svg");
  const box = main ? main.getBoundingClientRect() : { width: 0, height: 0 };
  const marks = plot.querySelectorAll(".point, .js-line, .bars path, canvas.gl-canvas, .parcoords").length;
  return { width: box.width, height: box.height, marks: marks };
});
"""


@pytest.mark.parametrize(
    ("name", "width"),
    [(name, 1280) for name in ("mixed", "one", "diverged", "comparison")] + [(name, 360) for name in ("mixed", "hostile")],
)
def test_all_charts_are_drawn_and_the_page_does_not_scroll_sideways(browser, pages, name, width):
    show(browser, pages[name], width, dark=width < 600)
    assert errors(browser) == []
    plots = browser.execute_script(PLOTS)
    assert len(plots) == {"mixed": 10, "one": 6, "diverged": 5, "hostile": 10, "comparison": 4}[name]
    for plot in plots:
        assert plot["width"] > 200
        assert plot["height"] > 100
        assert plot["marks"] > 0
    # A phone widens its window to what overflows, so the measure is the width of the screen.
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_theme_follows_the_system_until_one_is_chosen(browser, pages):
    ground = "return getComputedStyle(document.querySelector('.plot .main-svg')).backgroundColor"
    show(browser, pages["mixed"])
    light = browser.execute_script(ground)
    browser.find_element("id", "theme").click()
    drawn(browser, "dark")
    dark = browser.execute_script(ground)
    assert light != dark
    assert browser.find_element("id", "theme").text == "Light"
    show(browser, pages["mixed"], dark=True)
    assert browser.execute_script(ground) == dark
    browser.execute_script("localStorage.clear()")
    assert errors(browser) == []


def test_tables_sort_and_settings_are_copied(browser, pages):
    show(browser, pages["mixed"])
    column = "return [...document.querySelectorAll('#leaderboard tbody tr')].map((row) => row.cells[1].textContent)"
    assert browser.execute_script(column)[0] != "0"
    head = browser.find_elements("css selector", "#leaderboard thead button")[1]
    head.click()
    assert browser.execute_script(column) == [str(number) for number in range(len(MIXED))]
    head.click()
    assert browser.execute_script(column)[0] == str(len(MIXED) - 1)
    browser.find_element("css selector", "#best .copy").click()
    time.sleep(0.2)
    assert browser.find_element("css selector", "#best .copy").text == "Copied"


def test_a_metric_can_be_chosen(browser, pages):
    show(browser, pages["mixed"])
    title = "return document.querySelector('#curves .ytitle').textContent"
    assert browser.execute_script(title).startswith("val_accuracy")
    browser.execute_script(
        "const choice = document.querySelector('#curves select'); choice.selectedIndex = 1; "
        "choice.dispatchEvent(new Event('change'))"
    )
    time.sleep(0.5)
    assert browser.execute_script(title).startswith("loss")


def test_hostile_texts_are_shown_as_they_are(browser, pages):
    show(browser, pages["hostile"])
    assert browser.execute_script("return document.querySelectorAll('.plot a[href], .plot a, .plot b').length") == 0
    texts = browser.execute_script("return [...document.querySelectorAll('.plot text')].map((text) => text.textContent)")
    start = HOSTILE[:20]
    assert start in " ".join(texts)
    assert "&lt;" not in " ".join(texts)
    assert "font-weight: bold" not in "".join(
        browser.execute_script(
            "return [...document.querySelectorAll('.plot tspan')].map((span) => span.getAttribute('style') || '')"
        )
    )
