"""The landscape's page in a real browser: the sliders draw the runs they name, in light and dark, on a desk and on a phone."""

import re
import time

import numpy as np
import pytest

from tests.tuning.browsing import errors, show
from tests.tuning.test_landscape import runs_of
from tuning.landscape import landscape

pytestmark = [pytest.mark.slow, pytest.mark.backend("tensorflow")]

STEPS = 15


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    shown = landscape(["momentum", "gradient_descent:learning_rate=0.05", "keras:adam"], steps=STEPS)
    return shown.write(tmp_path_factory.mktemp("landscape") / "page.html")


def move(browser, slider, position):
    """Moves a slider and waits until that is drawn."""
    before = int(browser.execute_script("return document.documentElement.dataset.redrawn ?? 0"))
    browser.execute_script(
        "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', { bubbles: true }));",
        slider,
        str(position),
    )
    wait(browser, f"return Number(document.documentElement.dataset.redrawn) > {before}")


def wait(browser, condition):
    for _ in range(200):
        if browser.execute_script(condition):
            return
        time.sleep(0.05)
    pytest.fail(f"{condition}: {browser.get_log('browser')}")


def opened(browser, page, width=1280, dark=False):
    show(browser, page, width, dark)
    wait(browser, "return Number(document.documentElement.dataset.redrawn) > 0")


def drawn_weights(browser):
    """θ of each trajectory on the map, and their names."""
    lines = browser.execute_script(
        "return document.getElementById('chart-1').data.filter((trace) => trace.mode === 'lines+markers')"
        ".map((trace) => [trace.name, trace.x, trace.y])"
    )
    return {name: np.transpose([x, y]).astype("float32") for name, x, y in lines}


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, True)])
def test_the_page_is_drawn_and_does_not_scroll_sideways(browser, page, width, dark):
    opened(browser, page, width, dark)
    assert errors(browser) == []
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.plot .main-svg:first-child')].map((svg) => svg.getBoundingClientRect().width)"
    )
    assert len(boxes) == 2
    assert min(boxes) > 250
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_sliders_draw_the_runs_they_name(browser, page):
    opened(browser, page)
    momentum, descent, _ = runs_of(page)["contestants"]
    assert list(drawn_weights(browser)) == [
        "Momentum (η=0.01, γ=0.9)",
        "Gradient descent (η=0.05): leaves the picture at step 2",
        "Keras Adam (η=0.2, β₁=0.9, β₂=0.999)",
    ]
    move(browser, "slider-0-0", 2)
    move(browser, "slider-0-1", 4)
    name, weights = next(iter(drawn_weights(browser).items()))
    rates, decays = (slider["texts"] for slider in momentum["sliders"])
    assert name == f"Momentum (η={rates[2]}, γ={decays[4]})"
    np.testing.assert_array_equal(weights, momentum["weights"][2 * len(decays) + 4])
    assert browser.find_element("css selector", "output[for='slider-0-1']").text == decays[4]
    losses = browser.execute_script("return [...document.getElementById('chart-2').data[0].y]")
    np.testing.assert_array_equal(np.array(losses, "float32"), momentum["losses"][2 * len(decays) + 4])
    note = browser.find_element("css selector", "[data-note='1']")
    assert note.text == "leaves the picture at step 2"
    assert len(list(drawn_weights(browser).values())[1]) == 3  # up to the edge
    move(browser, "slider-1-0", 0)
    assert not note.is_displayed()
    np.testing.assert_array_equal(list(drawn_weights(browser).values())[1], descent["weights"][0])
    assert errors(browser) == []


def test_steps_play_and_optimizers_are_hidden(browser, page):
    opened(browser, page)
    move(browser, "time", 4)
    assert len(next(iter(drawn_weights(browser).values()))) == 5
    browser.find_element("id", "play").click()
    wait(browser, f"return Number(document.getElementById('time').value) === {STEPS}")
    wait(browser, f"return document.getElementById('chart-1').data[1].x.length === {STEPS + 1}")
    assert browser.find_element("id", "play").text == "Play"
    browser.find_element("css selector", "input[data-contestant='0'][type='checkbox']").click()
    wait(browser, "return document.getElementById('chart-2').data.length === 2")
    assert not any(re.match("Momentum", name) for name in drawn_weights(browser))
    move(browser, "slider-1-0", 3)
    browser.find_element("id", "reset").click()
    wait(browser, "return document.getElementById('chart-2').data.length === 3")
    assert "Gradient descent (η=0.05): leaves the picture at step 2" in drawn_weights(browser)
    assert errors(browser) == []
