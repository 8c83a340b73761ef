"""The documentation site as a reader opens it: from files, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import browser
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not browser.is_there(), reason=browser.MISSING)
def test_search_works_in_pages_opened_as_files(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    with browser.started() as driver:
        driver.set_window_size(1300, 900)
        for page in ("index.html", "reference/methods.html"):
            driver.get((tmp_path / page).as_uri())
            box = driver.find_element(By.CSS_SELECTOR, "input.md-search__input")
            wait = WebDriverWait(driver, 30)
            wait.until(lambda _, box=box: box.is_displayed())
            box.send_keys("wreath product")
            hits = wait.until(lambda one: one.find_elements(By.CSS_SELECTOR, "a.md-search-result__link"))
            found = [hit.get_attribute("href").partition("?")[0].partition("#")[0] for hit in hits]
            assert (tmp_path / "symmetry.html").as_uri() in found
        messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked and not [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:", "chrome"))]
