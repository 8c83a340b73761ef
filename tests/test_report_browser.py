"""The report in headless Chromium: what a person with a mouse, a keyboard or a printer gets."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from browser import MISSING, is_there, started
from report_cases import HOSTILE, believed, confidence, found, measured, named, of_model, origin, ring_labels

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

pytestmark = pytest.mark.skipif(not is_there(), reason=MISSING)

REDUCED_MOTION = {"name": "prefers-reduced-motion", "value": "reduce"}


@pytest.fixture(scope="module")
def driver():
    with started() as driver:
        yield driver


@pytest.fixture
def opened(driver, tmp_path):
    """Open the report of a discovery; afterwards nothing was complained of, and nothing asked of a network."""

    def opened(discovery):
        path = tmp_path / "report.html"
        discovery.report(path)
        driver.get_log("performance")
        driver.get(path.as_uri())
        return driver

    # A page that still scrolls smoothly would slip away from under the pointer.
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [REDUCED_MOTION]})
    driver.get_log("browser")
    yield opened
    assert driver.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert requests
    assert all(re.match("(file|data):", url) for url in requests)


def described(d, row: int, column: int) -> str:
    group = d.partition.labels[row, column]
    size = d.partition.group_sizes[group]
    value = float(f"{d.values[group]:.6g}")
    entries = "1 entry" if size == 1 else f"{size} entries"
    return f"output {row}, input {column}: group {group}, value {value:g}, {entries}"


def readout(driver, index: int = 0) -> str:
    return driver.find_elements(By.CSS_SELECTOR, ".readout")[index].text


def zoom(driver) -> float:
    return float(driver.find_element(By.TAG_NAME, "canvas").get_attribute("data-zoom"))


def press(driver, *keys) -> None:
    ActionChains(driver).send_keys(*keys).perform()


def test_values_are_those_of_the_discovery_in_every_cell(opened):
    d = found(ring_labels(8) + 10 * (ring_labels(8) == 2))
    driver = opened(d)
    canvas = driver.find_element(By.TAG_NAME, "canvas")
    driver.execute_script("arguments[0].focus()", canvas)
    for row in range(8):
        press(driver, Keys.HOME)
        for column in range(8):
            assert readout(driver) == described(d, row, column)
            press(driver, Keys.ARROW_RIGHT)
        press(driver, Keys.ARROW_DOWN)
    assert readout(driver) == described(d, 7, 7)
    press(driver, Keys.HOME)
    assert readout(driver) == described(d, 7, 0)
    cells = driver.find_elements(By.CSS_SELECTOR, "#pattern-0 details td")
    texts = [cell.get_attribute("textContent") for cell in cells]
    assert texts == [str(label) for label in d.partition.labels.ravel()]


def test_hovering_tells_the_cell_under_the_pointer(opened):
    d = found(ring_labels(8))
    driver = opened(d)
    canvas = driver.find_element(By.TAG_NAME, "canvas")
    driver.execute_script("arguments[0].scrollIntoView()", canvas)
    (shown,) = json.loads(driver.find_element(By.ID, "parameters").get_attribute("textContent"))
    seen = set()
    for x, y in np.random.default_rng(0).integers(-150, 150, (30, 2)).tolist():
        ActionChains(driver, duration=0).move_to_element_with_offset(canvas, x, y).perform()
        row, column = map(int, re.match(r"output (\d+), input (\d+):", readout(driver)).groups())
        assert readout(driver) == described(d, row, column)
        # Away from the frame of the cell and from its number the pixel has the colour of the group.
        pixel = driver.execute_script(
            """const [canvas, x, y] = arguments, box = canvas.getBoundingClientRect();
            const scale = canvas.width / box.width;
            const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
            pen.drawImage(canvas, -(box.width / 2 + x) * scale, -(box.height / 2 + y) * scale);
            return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)]""",
            canvas,
            x,
            y,
        )
        if f"#{bytes(pixel).hex()}" in shown["colours"]:
            assert f"#{bytes(pixel).hex()}" == shown["colours"][d.partition.labels[row, column]]
            seen.add((row, column))
    assert len(seen) > 10


def test_confidence_under_the_pointer_and_by_keyboard(opened):
    labels = ring_labels(8) + 10 * np.eye(8, dtype=int)[0]
    labels[0, 0] = 99  # alone: without ties
    d = found(labels, confidence=confidence(labels))
    driver = opened(d)
    canvas = driver.find_element(By.TAG_NAME, "canvas")
    driver.execute_script("arguments[0].focus()", canvas)
    assert readout(driver) == described(d, 0, 0)
    for column in range(1, 8):
        press(driver, Keys.ARROW_RIGHT)
        probability = f", probability of its ties {d.confidence.entries[0, column]:.3g}"
        assert readout(driver) == described(d, 0, column) + probability
    ActionChains(driver, duration=0).move_to_element_with_offset(canvas, 5, 5).perform()
    row, column = map(int, re.match(r"output (\d+), input (\d+):", readout(driver)).groups())
    assert row > 0
    assert f"probability of its ties {d.confidence.entries[row, column]:.3g}" in readout(driver)


def test_zoom_and_pan(opened):
    d = found(ring_labels(64))
    driver = opened(d)
    zoom_in, zoom_out, whole = driver.find_elements(By.CSS_SELECTOR, ".tools button")
    canvas = driver.find_element(By.TAG_NAME, "canvas")
    assert zoom(driver) == 1
    for _ in range(4):
        zoom_in.click()
    assert zoom(driver) == pytest.approx(1.5**4)
    zoom_out.click()
    assert zoom(driver) == pytest.approx(1.5**3)
    driver.execute_script("arguments[0].scrollIntoView()", canvas)
    ActionChains(driver, duration=0).move_to_element(canvas).perform()
    before = readout(driver)
    drag = ActionChains(driver, duration=0).click_and_hold().move_by_offset(-90, 0).release()
    drag.move_to_element(canvas).perform()
    one, other = (int(re.search(r"input (\d+)", words).group(1)) for words in (before, readout(driver)))
    assert other - one == pytest.approx(90 / (10 * 1.5**3), abs=1)
    whole.click()
    assert zoom(driver) == 1
    at = ScrollOrigin.from_element(canvas)
    ActionChains(driver).scroll_from_origin(at, 0, -100).perform()
    assert zoom(driver) == 1  # the wheel alone scrolls the page
    driver.execute_script("arguments[0].scrollIntoView()", canvas)
    ActionChains(driver).key_down(Keys.CONTROL).scroll_from_origin(at, 0, -100).key_up(Keys.CONTROL).perform()
    assert zoom(driver) == 1.25
    driver.execute_script("arguments[0].focus()", canvas)
    press(driver, "0")
    press(driver, "++-")
    assert zoom(driver) == pytest.approx(1.5)


def test_by_keyboard_alone(opened):
    driver = opened(found(ring_labels(8), origin=origin()))
    press(driver, Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to the answer"
    assert driver.switch_to.active_element.location["x"] >= 0
    press(driver, Keys.ENTER)
    assert driver.switch_to.active_element.tag_name == "main"
    reached = []
    for _ in range(40):
        press(driver, Keys.TAB)
        element = driver.switch_to.active_element
        if element.tag_name == "body":
            break
        outline = element.value_of_css_property("outline-style"), element.value_of_css_property("outline-width")
        assert outline == ("solid", "3px")
        reached.append(element.text if element.tag_name in ("button", "summary") else element.tag_name)
        if element.tag_name == "canvas":
            assert readout(driver).startswith("output 0, input 0: group 0")
    assert [name for name in reached if name not in ("div", "a")] == [
        *("canvas", "Zoom in", "Zoom out", "Whole pattern", "The pattern as a table", "The generators in cycles"),
        *("pre", "What was tried", "Repeat it"),
    ]
    assert driver.find_element(By.CSS_SELECTOR, ".readout").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize(("system", "other"), [("light", "dark"), ("dark", "light")])
def test_colour_scheme(opened, driver, system, other):
    features = [{"name": "prefers-color-scheme", "value": system}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver = opened(found(ring_labels(8)))
    grounds = {"light": "rgba(255, 255, 255, 1)", "dark": "rgba(20, 23, 26, 1)"}
    body, button = driver.find_element(By.TAG_NAME, "body"), driver.find_element(By.ID, "theme")
    for scheme, following in ((system, other), (other, system), (system, other)):
        assert body.value_of_css_property("background-color") == grounds[scheme]
        assert button.text == f"{following.capitalize()} colours"
        button.click()


def test_motion_only_where_it_is_not_refused(opened, driver):
    page = opened(found([0, 1])).find_element(By.TAG_NAME, "html")
    assert page.value_of_css_property("scroll-behavior") == "auto"
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert page.value_of_css_property("scroll-behavior") == "smooth"


def test_printing(opened, tmp_path):
    driver = opened(found(ring_labels(8), origin=origin()))
    driver.find_element(By.ID, "theme").click()
    driver.find_element(By.CSS_SELECTOR, "[data-act=in]").click()
    driver.execute_script(
        """addEventListener("beforeprint", () => {
          window.printed = document.querySelector("canvas").dataset.zoom;
        })"""
    )
    pdf = base64.b64decode(driver.print_page())
    assert pdf.startswith(b"%PDF")
    # The whole pattern is printed, and the reader's view comes back.
    assert driver.execute_script("return window.printed") == "1"
    assert zoom(driver) == 1.5
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    body = driver.find_element(By.TAG_NAME, "body")
    assert body.value_of_css_property("background-color") == "rgba(255, 255, 255, 1)"
    assert not driver.find_element(By.CSS_SELECTOR, ".tools").is_displayed()
    if shutil.which("pdftotext"):
        (tmp_path / "a.pdf").write_bytes(pdf)
        done = subprocess.run(["pdftotext", tmp_path / "a.pdf", "-"], capture_output=True, text=True, check=True)
        parts = ("What is shared in a.npz", "D_8", "generator 2", "Use it")
        assert all(part in done.stdout for part in parts)


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext in PATH (Debian: poppler-utils)")
@pytest.mark.parametrize("size", [4, 8, 64])
@pytest.mark.parametrize("is_model", [True, False])
def test_nothing_that_leads_on_is_last_on_a_printed_page(opened, tmp_path, size, is_model):
    labels, kernel = ring_labels(size), np.arange(36).reshape(2, 2, 3, 3) // 9
    several = {"a": labels, "b": [0, 1, 1], "c": kernel, "d": ring_labels(5)}
    history = {"num_groups": np.arange(1, 65), "validation_loss": np.linspace(2, 1, 64)}
    driver = opened(of_model(several) if is_model else found(labels, history, origin(), confidence=confidence(labels)))
    (tmp_path / "a.pdf").write_bytes(base64.b64decode(driver.print_page()))
    done = subprocess.run(["pdftotext", "-layout", tmp_path / "a.pdf", "-"], capture_output=True, text=True, check=True)
    pages = [page.strip().splitlines() for page in done.stdout.split("\f") if page.strip()]
    assert len(pages) > 1
    leading = [h.get_attribute("textContent") for h in driver.find_elements(By.CSS_SELECTOR, "h2, caption, thead tr")]
    lines = [" ".join(page[-1].split()) for page in pages]
    assert "Written by equishare" in lines[-1]
    for line in lines[:-1]:
        assert not any(part.startswith(line) for part in leading)
        assert not line.endswith(("hollow points stay.", "is moved;", "where it is", "same value."))


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext in PATH (Debian: poppler-utils)")
def test_a_map_takes_two_pages(opened, tmp_path):
    names = [f"flow_{i}" for i in range(6)], [f"temp_{i}" for i in range(6)]
    sure = confidence(ring_labels(6))
    driver = opened(named(measured(believed(found(ring_labels(6), None, origin(), confidence=sure))), *names))
    (tmp_path / "a.pdf").write_bytes(base64.b64decode(driver.print_page()))
    done = subprocess.run(["pdftotext", tmp_path / "a.pdf", "-"], capture_output=True, text=True, check=True)
    first, second = [page for page in done.stdout.split("\f") if page.strip()]
    assert all(part in first for part in ("The symmetry is D_6", "flow_5", "probability", "Symmetry"))
    assert all(part in second for part in ("How far to trust it", "Use it", "Written by"))


def test_names_on_the_canvas_and_in_the_readout(opened):
    driver = opened(named(found(ring_labels(3)), ["u", "v", HOSTILE], ["apples", "pears", "figs"]))
    canvas = driver.find_element(By.TAG_NAME, "canvas")
    driver.execute_script("arguments[0].focus()", canvas)
    assert readout(driver).startswith("output u, input apples: group 0")
    press(driver, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.END)
    assert readout(driver).startswith(f"output {' '.join(HOSTILE.split())}"[:20])
    assert ", input figs: group 0" in readout(driver)


@pytest.mark.parametrize("width", [390, 800, 1100])
@pytest.mark.parametrize("size", [8, 64])
def test_nothing_is_wider_than_the_window(opened, driver, width, size):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        driver = opened(found(ring_labels(size), origin=origin(data="x" * 200 + ".npz")))
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert driver.find_element(By.TAG_NAME, "canvas").size["width"] <= width
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_hostile_strings_are_shown_as_text(opened):
    driver = opened(found(ring_labels(3), origin=origin(HOSTILE, HOSTILE)))
    shown = driver.find_element(By.TAG_NAME, "h1").get_attribute("textContent")
    assert shown == f"What is shared in {HOSTILE}"
    assert driver.find_element(By.CSS_SELECTOR, "details pre").get_attribute("textContent") == HOSTILE
    assert driver.title.split() == f"What is shared in {HOSTILE}".split()
    assert not driver.find_elements(By.TAG_NAME, "img")


def test_model_with_hostile_names(opened):
    d = of_model({HOSTILE: ring_labels(3), "b": [0, 1, 1]})
    driver = opened(d)
    titles = [h.get_attribute("textContent") for h in driver.find_elements(By.TAG_NAME, "h2")]
    assert titles[0] == f"Pattern of {HOSTILE}"
    second = driver.find_elements(By.TAG_NAME, "canvas")[1]
    driver.execute_script("arguments[0].focus()", second)
    press(driver, Keys.END)
    assert readout(driver, 1) == "entry 2: group 1, 2 entries"


def test_4096_cells_of_their_own(opened):
    d = found(np.arange(4096).reshape(64, 64))
    driver = opened(d)
    canvas = driver.find_element(By.TAG_NAME, "canvas")
    driver.execute_script("arguments[0].focus()", canvas)
    press(driver, Keys.END, Keys.ARROW_DOWN)
    assert readout(driver) == described(d, 1, 63)
    assert len(driver.find_elements(By.CSS_SELECTOR, "#pattern-0 details td")) == 4096
