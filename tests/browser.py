"""Headless Chromium, driven by selenium; for the tests and scripts that look at reports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_DRIVER = shutil.which("chromedriver")
MISSING = "no chromium and chromedriver in PATH (Debian: chromium, chromium-driver)"


def is_there() -> bool:
    return _BROWSER is not None and _DRIVER is not None


@contextmanager
def started() -> Iterator[Any]:
    """A driver whose logs tell the console's messages and every request."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1100,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Given both paths, selenium looks for nothing and downloads nothing.
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(_DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
