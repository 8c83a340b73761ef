"""The report for readers who see little, or nothing: contrast, names, order, keyboard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import MISSING, is_there, started
from report_cases import believed, confidence, found, measured, named, of_model, origin, ring_labels

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

pytestmark = pytest.mark.skipif(not is_there(), reason=MISSING)

LOW_CONTRAST = (Path(__file__).parent / "low_contrast.js").read_text(encoding="utf-8")
KERNEL = np.arange(36).reshape(2, 2, 3, 3) // 9
REPORTS = {
    "map": lambda: found(ring_labels(8), origin=origin(), confidence=confidence(ring_labels(8))),
    "named": lambda: named(measured(found(ring_labels(3))), ["u", "v", "w"], ["apples", "pears", "figs"]),
    "scattered": lambda: measured(believed(found(ring_labels(8)), spread=0.2)),
    "means": lambda: found([0, 1, 0, 2]),
    "model": lambda: of_model({"a.weight": ring_labels(4), "b": [0, 1, 1], "c": KERNEL}),
}


@pytest.fixture(scope="module")
def driver():
    with started() as driver:
        yield driver


@pytest.fixture(params=REPORTS)
def page(request, driver, tmp_path):
    REPORTS[request.param]().report(tmp_path / "a.html")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    driver.get((tmp_path / "a.html").as_uri())
    for details in driver.find_elements(By.TAG_NAME, "details"):
        driver.execute_script("arguments[0].open = true", details)
    return driver


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_all_text(page, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    looked_at, low = page.execute_script(LOW_CONTRAST)
    assert looked_at > 50
    assert low == []


def accessibility_tree(driver) -> list[tuple[str, str, dict[str, object]]]:
    """Role, name and properties of what is read, in the order in which it is read."""
    driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    by_id = {node["nodeId"]: node for node in nodes}
    read, open_ = [], [nodes[0]["nodeId"]]
    while open_:
        node = by_id[open_.pop()]
        open_ += reversed([child for child in node.get("childIds", []) if child in by_id])
        if not node["ignored"]:
            properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
            read.append((node["role"]["value"], node.get("name", {}).get("value", ""), properties))
    return read


def test_names_and_order(page):
    read = accessibility_tree(page)
    headings = [(properties["level"], name) for role, name, properties in read if role == "heading"]
    assert headings[0] == (1, page.find_element(By.TAG_NAME, "h1").text)
    assert {level for level, _ in headings[1:]} == {2}
    links = [name for role, name, _ in read if role == "link"]
    patterns = [name.removeprefix("Pattern of ") for _, name in headings if name.startswith("Pattern")]
    assert links == ["Skip to the answer", *(patterns if len(patterns) > 1 else [])]
    for role, name, properties in read[1:]:
        if properties.get("focusable") or role in ("table", "image", "region", "navigation"):
            assert name or role == "main", role
    patterns = [name for role, name, _ in read if role == "application"]
    assert len(set(patterns)) == len(page.find_elements(By.TAG_NAME, "canvas"))
    # What a table is called is what stands above it.
    tables = [name for role, name, _ in read if role == "table"]
    assert tables == [caption.text for caption in page.find_elements(By.TAG_NAME, "caption")]
    assert len(tables) == len(set(tables))


def test_every_pattern_by_keyboard(page):
    canvases = page.find_elements(By.TAG_NAME, "canvas")
    readouts = page.find_elements(By.CSS_SELECTOR, ".readout")
    visited = []
    for _ in range(60):
        ActionChains(page).send_keys(Keys.TAB).perform()
        element = page.switch_to.active_element
        if element.tag_name == "body":
            break
        assert element.value_of_css_property("outline-style") == "solid"
        if element.tag_name == "canvas":
            visited.append(canvases.index(element))
            readout = readouts[visited[-1]]
            before = readout.text
            assert "group 0" in before
            ActionChains(page).send_keys(Keys.END).perform()
            assert readout.text != before
    assert visited == list(range(len(canvases)))
