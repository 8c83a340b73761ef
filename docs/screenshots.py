"""Make the pictures of the report in docs/figures/, from data to page: the README's main job, and a ring of 64 points.

    python docs/screenshots.py

Needs chromium, chromedriver and the extras "examples" and "test".
"""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import started  # noqa: E402
from report_cases import ring_labels  # noqa: E402

# Name of the picture, colour scheme, width in pixels.
PICTURES = (("light", "light", 1000), ("dark", "dark", 1000), ("narrow", "light", 390))


def run(folder: Path, *command: str) -> None:
    """Run Python in a folder."""
    subprocess.run([sys.executable, *command], cwd=folder, check=True)


def ring64(folder: Path) -> None:
    """A map that commutes with the rotations and reflections of 64 points on a ring."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=33)[ring_labels(64)]
    x = rng.normal(size=(4000, 64))
    np.savez(folder / "ring64.npz", x=x, y=x @ weight.T + 0.1 * rng.normal(size=(4000, 64)))


def picture(driver, path: Path, scheme: str, width: int) -> Image.Image:
    """The whole page; the reader points at a cell."""
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(path.as_uri())
    canvas = driver.find_element(By.TAG_NAME, "canvas")
    ActionChains(driver).move_to_element_with_offset(canvas, 30, 10).perform()
    driver.execute_script("scrollTo(0, 0)")
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    return Image.open(io.BytesIO(base64.b64decode(taken["data"])))


def main() -> None:
    """Write the six pictures."""
    with tempfile.TemporaryDirectory() as name, started() as driver:
        folder = Path(name)
        run(folder, str(ROOT / "examples" / "rings.py"), "rings.npz")
        ring64(folder)
        for data in ("rings", "ring64"):
            run(folder, "-m", "equishare", "discover", f"{data}.npz", "--out", data)
            for suffix, scheme, width in PICTURES:
                out = ROOT / "docs" / "figures" / f"report_{data}_{suffix}.png"
                image = picture(driver, folder / data / "report.html", scheme, width)
                image.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
                    out, optimize=True
                )
                print(f"wrote {out.relative_to(ROOT)} ({out.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
