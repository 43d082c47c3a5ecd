"""The report on quality in a real Chromium: aligned and legible, wide and narrow."""

from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser

from crimeguard.validate.quality_page import quality_page
from tests.validate.test_quality import QUARANTINE, in_march, many, quality

pytestmark = pytest.mark.browser

# Every text's size in pixels as it is drawn, and the width of every strip of bars.
SIZES = """() => [...document.querySelectorAll('body *')]
  .filter(item => [...item.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  .filter(item => !item.closest('svg'))
  .map(item => parseFloat(getComputedStyle(item).fontSize))"""
STRIPS = """() => [...document.querySelectorAll('.strip')].map(item => {
  const box = item.getBoundingClientRect(); return [Math.round(box.left), Math.round(box.width)]
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_its_lines_stand_below_each_other(
    width: int, scheme: str, browser: Browser, tmp_path: Path
) -> None:
    frame = in_march(many(), 0.3, vict_sex=pl.lit(None), premis_cd=pl.lit(777))
    file = tmp_path / "quality.html"
    file.write_text(quality_page(quality(frame, tmp_path, quarantine=[QUARANTINE])))
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    try:
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text))
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert min(page.evaluate(SIZES)) >= 12
        strips = page.evaluate(STRIPS)
        assert len(strips) > 30
        assert len({tuple(strip) for strip in strips}) == 1
        assert strips[0][1] >= 100
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark == ("rgb(20, 23, 26)" if scheme == "dark" else "rgb(255, 255, 255)")
        assert errors == []
    finally:
        context.close()
