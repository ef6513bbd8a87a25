"""A real browser for the tests of pages: Chromium and its driver, e.g. Debian's packages chromium and chromium-driver."""

import os
import shutil
import time

import pytest

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def opened(profile):
    """A headless Chromium with this folder as its profile; it is for the caller to quit."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        message = "chromium and chromedriver must be installed."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def show(browser, path, width=1280, dark=False):
    """Opens a report and waits until everything is drawn."""
    visit(browser, path, width, dark)
    drawn(browser, "dark" if dark else "light")


def visit(browser, path, width, dark):
    """Opens a page in a window of this width, on a system that is light or dark; its log begins anew."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(path if isinstance(path, str) else path.as_uri())


def drawn(browser, theme):
    for _ in range(600):
        if browser.execute_script("return document.documentElement.dataset.drawn") == theme:
            return
        time.sleep(0.05)
    pytest.fail(f"The charts were not drawn: {browser.get_log('browser')}")


def errors(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
