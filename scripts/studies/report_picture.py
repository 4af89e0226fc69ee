"""Make docs/report.jpg: the first screens of the page of an attack, as Chromium shows them.

robust attack --noise batch --out runs/results/quick --overwrite
python scripts/studies/report_picture.py runs/results/quick/report.html docs/report.jpg
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1280, 800
MOST_BYTES = 200_000


def shown(page: Path) -> Image.Image:
    """The page from its top to the end of the part that compares."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
        )
        opened = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        opened.goto(page.resolve().as_uri())
        end = opened.locator("#compare").bounding_box()
        whole = Image.open(io.BytesIO(opened.screenshot(full_page=True)))
        browser.close()
    return whole.convert("RGB").crop((0, 0, WIDTH, round(end["y"] + end["height"])))


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    picture = shown(source)
    for quality in range(90, 30, -5):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality, optimize=True, progressive=True)
        if len(data.getvalue()) <= MOST_BYTES:
            break
    target.write_bytes(data.getvalue())


if __name__ == "__main__":
    main()
