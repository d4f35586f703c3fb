"""A real browser for tests, where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

# The mark of tests that need it.
needed = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium, chromium-browser or google-chrome with its chromedriver here"
)


def started() -> Iterator[object]:
    """Yield a driver of the browser, without a window, that records what pages log and fetch."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()
