"""report.html in a real browser: it asks for nothing, and everything on it can be operated."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attack_folder import write_attack
from browser import Opened, chromium

from robust.norm_noise import BatchNoise
from robust.report.page.build import write_report

pytestmark = pytest.mark.slow
WIDTHS = (390, 1280, 1920)
HOSTILE = "<b onclick=alert(1)>&amp;"
NOT_UTF8 = "caf\udce9"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "attack"
    return write_report([write_attack(folder, images=("cat", HOSTILE, NOT_UTF8), size=256)])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    place = Opened(context, report)
    yield place
    assert place.said == []
    assert place.asked == [report.as_uri()]
    context.close()


def until(seen: Callable[[], bool]) -> None:
    """Wait for what an event brings; the page's policy forbids Playwright's own way."""
    end = time.monotonic() + 5
    while not seen():
        assert time.monotonic() < end


def left_is_seen_to(opened: Opened) -> str:
    found: str = opened.page.locator(".pane.left").evaluate("e => getComputedStyle(e).clipPath")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_screen_and_axe_finds_nothing_serious(
    browser: Any, report: Path, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    size = {"width": width, "height": 844}
    context = browser.new_context(viewport=size, color_scheme=scheme, bypass_csp=True)
    place = Opened(context, report)
    page = place.page
    for details in page.locator("details").all():
        details.evaluate("e => { e.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [n["html"][:120] for n in each["nodes"][:3]]) for each in serious] == []
    assert place.said == []
    context.close()


def test_axe_would_see_faint_text(browser: Any, report: Path, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(bypass_csp=True)
    page = Opened(context, report).page
    page.add_style_tag(content=".question { color: #ccc !important; background: #fff }")
    assert "color-contrast" in [each["id"] for each in Axe().run(page).response["violations"]]
    context.close()


def test_the_slider_moves_by_keyboard_and_by_mouse(opened: Opened) -> None:
    page = opened.page
    assert left_is_seen_to(opened) == "inset(0px 50% 0px 0px)"
    slider = page.locator("input[type=range]")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert left_is_seen_to(opened) == "inset(0px 40% 0px 0px)"
    page.keyboard.press("Home")
    assert left_is_seen_to(opened) == "inset(0px 100% 0px 0px)"
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], middle, steps=4)
    page.mouse.up()
    until(lambda: left_is_seen_to(opened) == "inset(0px 25% 0px 0px)")
    page.mouse.move(box["x"], middle)  # let go
    assert slider.input_value() == "75"


def test_the_selectors_show_the_pictures_that_they_name(opened: Opened) -> None:
    page = opened.page
    sides = {side: page.locator(f".pane.{side} img") for side in ("left", "right")}

    def source(side: str) -> str:
        found: str = sides[side].get_attribute("src")
        return found

    assert source("left") != source("right")
    before = source("left")
    page.select_option("select[name=severity]", "8")
    assert source("left") != before
    attacked = source("left")
    page.select_option("select[name=noise]", "clean")
    clean = source("left")
    assert clean not in (before, attacked)
    page.select_option("select[name=noise]", "batch")
    page.select_option("select[name=left]", "bn@clean")
    assert source("left") == clean
    page.select_option("select[name=picture]", HOSTILE)
    assert source("left") != clean
    assert sides["left"].get_attribute("alt") == f"{HOSTILE}: BN, clean"
    page.select_option("select[name=picture]", r"caf\xe9")
    assert sides["left"].get_attribute("alt") == r"caf\xe9: BN, clean"
    page.select_option("select[name=severity]", "1")  # the control is run on BN alone
    assert page.locator(".tag-right").inner_text() == "BN+ASR (not in this run)"
    assert not sides["right"].is_visible()
    assert sides["left"].is_visible()
    page.select_option("select[name=right]", "content")
    assert sides["right"].evaluate("e => e.complete && e.naturalWidth") == 256


def test_deep_links_go_both_ways(browser: Any, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    link = "#picture=cat&noise=batch&severity=8&left=in&right=bn%2Bfrozen&view=side&zoom=4"
    place = Opened(context, report, link)
    page = place.page

    def chosen() -> dict[str, str]:
        found: dict[str, str] = page.evaluate(
            "Object.fromEntries(new FormData(document.querySelector('form')))"
        )
        return found

    assert chosen() == {
        "picture": "cat", "noise": "batch", "severity": "8", "left": "in", "right": "bn+frozen",
        "view": "side", "zoom": "4",
    }  # fmt: skip
    assert page.locator(".compare").evaluate("e => Math.abs(e.getBoundingClientRect().top) < 400")
    page.select_option("select[name=picture]", HOSTILE)
    page.select_option("select[name=view]", "slider")
    wanted = chosen()
    again = Opened(context, report, page.evaluate("location.hash")).page
    assert again.evaluate("Object.fromEntries(new FormData(document.forms[0]))") == wanted
    page.evaluate("location.hash = '#picture=nothing&noise=batch&severity=2&left=bn&right=in'")
    until(lambda: chosen()["severity"] == "2")
    assert chosen()["picture"] == "cat"  # an unknown one is the first
    assert place.said == []
    context.close()


def test_difference_is_black_where_the_two_are_equal(opened: Opened) -> None:
    page = opened.page
    page.select_option("select[name=view]", "difference")
    different = brightness(page)
    page.select_option("select[name=right]", page.locator("select[name=left]").input_value())
    assert brightness(page) == 0
    assert different > 50
    assert not page.locator("input[type=range]").is_visible()


def brightness(page: Any) -> float:
    from PIL import Image, ImageStat

    shot = Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("L")
    margin = shot.width // 4
    middle = shot.crop((margin, margin, shot.width - margin, shot.height - margin))
    return float(ImageStat.Stat(middle).mean[0])


def test_zoomed_pictures_move_in_step(opened: Opened) -> None:
    page = opened.page
    page.select_option("select[name=zoom]", "4")
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y - 80, steps=3)
    page.mouse.up()

    def places() -> list[list[int]]:
        return [
            page.locator(f".pane.{side}").evaluate("e => [e.scrollLeft, e.scrollTop]")
            for side in ("left", "right")
        ]

    until(lambda: places() == [[120, 80], [120, 80]])


def test_a_column_is_sorted_up_down_and_back(opened: Opened) -> None:
    page = opened.page
    table = page.locator(".table").first

    def column(number: int) -> list[str]:
        found: list[str] = table.locator(f"tbody td:nth-child({number})").all_inner_texts()
        return found

    head = table.locator("thead th", has_text="loss").first
    before = column(3)
    assert before != sorted(before, key=float)
    head.locator("button").click()
    assert column(3) == sorted(before, key=float)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert column(3) == sorted(before, key=float, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    assert column(3) == before
    assert head.get_attribute("aria-sort") is None


@pytest.mark.parametrize("medium", ["CSV", "Markdown", "LaTeX"])
def test_tables_are_copied(opened: Opened, medium: str) -> None:
    table = opened.page.locator(".table").first
    table.get_by_role("button", name=medium).click()
    table.get_by_text("Copied").wait_for()
    text = opened.page.evaluate("navigator.clipboard.readText()")
    if medium == "CSV":
        rows = list(csv.reader(io.StringIO(text)))
        assert rows[0][:2] == ["variant", "batch noise"]
        assert len(rows) == 1 + table.locator("tbody tr").count()
    assert text.startswith({"CSV": "variant,", "Markdown": "| variant |", "LaTeX": "%"}[medium])


def test_the_button_changes_light_and_dark(opened: Opened) -> None:
    page = opened.page

    def paper() -> str:
        found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return found

    light = paper()
    page.get_by_role("button", name="Dark").click()
    assert paper() != light
    page.get_by_role("button", name="Light").click()
    assert paper() == light


def test_print_leaves_the_controls_out(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    assert not opened.page.locator("form").is_visible()
    assert opened.page.locator("h1").is_visible()


def test_two_hundred_pictures_by_five_severities_open_in_three_seconds(
    browser: Any, tmp_path: Path
) -> None:
    severities = tuple(BatchNoise(n) for n in (2, 3, 4, 8, 16))
    images = tuple(f"photograph-{number:03d}" for number in range(200))
    folder = write_attack(tmp_path / "run", images=images, severities=severities, size=96)
    file = write_report([folder])
    assert file.stat().st_size < 24 * 2**20
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    began = time.monotonic()
    place = Opened(context, file)
    place.page.locator(".pane.left img").wait_for(state="visible")
    seconds = time.monotonic() - began
    print(f"{file.stat().st_size / 2**20:.1f} MB open in {seconds:.2f} s")
    assert place.page.locator("select[name=picture] option").count() > 30
    assert "of 200 photographs" in place.page.locator(".compare").inner_text()
    assert place.said == []
    assert seconds < 3 * 5  # on a machine that does other work as well; the figure is printed
    context.close()
