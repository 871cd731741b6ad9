"""The page in a real browser: it loads, sorts, filters, draws, prints, and asks no network."""

from __future__ import annotations

import base64
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from blazeport.benchmarks.report.plain import plain_text
from blazeport.cli.main import main
from click.testing import CliRunner
from PIL import Image
from testing.browser import Page, chromium
from testing.hostile_records import HOSTILE, evaluation_page, hostile
from testing.played_records import MACHINES, PlayedFile, played_record, write_played

RESET = """
byId('filters').reset();
order.key = null;
for (const open of document.querySelectorAll('#records .open .more')) open.click();
for (const head of document.querySelectorAll('[aria-sort]')) head.removeAttribute('aria-sort');
theme = 'auto';
showTheme();
update();
scrollTo(0, 0);
document.activeElement.blur();
"""
VISIBLE_ROWS = "return [...document.querySelectorAll('#records tbody')].filter((body) => !body.hidden)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


def build(folder: Path, *more: object) -> Path:
    page = folder / "report.html"
    done = CliRunner().invoke(main, ["bench", "report", str(folder / "results"), *map(str, more), "-o", str(page)])
    assert done.exit_code == 0, done.output
    return page


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 200 records, measured and synthetic ones, with manifests, pictures and a broken file."""
    folder = tmp_path_factory.mktemp("report")
    write_played(folder)
    (folder / "results" / "half.json").write_text("{")
    jpeg = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(jpeg, "JPEG")
    picture = f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"
    (folder / "models" / "lite.html").write_text(evaluation_page(picture))
    return build(folder, "--models", folder / "models")


@pytest.fixture(scope="module")
def opened(browser: Page, full: Path) -> tuple[Page, list[str], list[str]]:
    """The report on a wide screen that is light, what the browser complained of, and what it asked for."""
    browser.prefer("light")
    browser.open(full)
    return browser, browser.console(), browser.requests()


@pytest.fixture
def report(opened: tuple[Page, list[str], list[str]], full: Path) -> Page:
    """The report as it was when it was opened."""
    page = opened[0]
    page.resize(1400)
    page.prefer("light")
    if page.driver.current_url == full.as_uri():
        page.run(RESET)
        page.wait_for_charts()
    else:
        page.open(full)
    return page


def cells(page: Page, column: str) -> list[str]:
    """The texts of a column in the rows that are shown, from top to bottom."""
    heads = page.run("return [...document.querySelectorAll('#records th')].map((head) => head.dataset.sort)")
    return page.run(
        f"{VISIBLE_ROWS}.map((body) => body.rows[0].cells[arguments[0]].innerText.trim())", heads.index(column)
    )


def choose(page: Page, name: str, value: str) -> None:
    page.run(
        "const select = document.querySelector(`[data-filter=${arguments[0]}]`); select.value = arguments[1];"
        "select.dispatchEvent(new Event('input', { bubbles: true }))",
        name,
        value,
    )
    page.wait_for_charts()


def picture_of(page: Page, selector: str) -> np.ndarray:
    """A picture of an element, as RGB in [0, 1]."""
    png = page.one(selector).screenshot_as_png
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float64) / 255


def test_the_page_loads_without_a_complaint_and_without_the_network(opened: tuple[Page, list[str], list[str]]):
    page, complaints, requests = opened
    assert page.run("return document.documentElement.dataset.charts") == "drawn"
    assert complaints == []
    assert all(address.startswith(("file:", "data:")) for address in requests)
    assert sum(address.startswith("file:") for address in requests) == 1


def test_the_browser_itself_forbids_the_network(report: Page):
    blocked = report.driver.execute_async_script(
        "const done = arguments[0]; fetch('https://example.org/').then(() => done('loaded'), () => done('blocked'))"
    )
    report.console()
    assert blocked == "blocked"


def test_every_chart_is_drawn_and_has_marks(report: Page):
    plots = report.run(
        """return [...document.querySelectorAll('.plot')].map((plot) => {
            const box = plot.querySelector('.main-svg')?.getBoundingClientRect();
            const marks = [...plot.querySelectorAll('.point path, path.point, path.js-line')];
            const sizes = marks.map((mark) => mark.getBoundingClientRect()).map(({ width, height }) => width + height);
            const name = plot.id || plot.closest('div[id]').id;
            return [name, box?.width ?? 0, box?.height ?? 0, sizes.filter((size) => size > 2).length, plot.ariaLabel];
        })"""
    )
    names = [name for name, *_ in plots]
    assert {"plot-ranges", "plot-shares", "plot-size", "plot-error", "plot-heads"} <= set(names)
    assert names.count("plots-accuracy") == 4
    assert names.count("plots-sustained") >= 3
    for name, width, height, marks, label in plots:
        assert width > 300, name
        assert height > 90, name
        assert marks >= 3, name
        assert label, name


def test_dots_stand_where_the_medians_are(report: Page):
    choose(report, "variant", "pose_landmark_full")
    choose(report, "threads", "1")
    medians = [float(text.split("\n")[0]) for text in cells(report, "median")]
    dots = report.run(
        """return [...document.querySelectorAll('#plot-ranges .point')].map((dot) => {
            const box = dot.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2];
        })"""
    )
    assert len(dots) == min(len(medians), 30) > 10
    x, y = np.array(dots).T
    assert (np.diff(y) > 10).all()
    scales = [np.corrcoef(x, scale)[0, 1] for scale in (medians[:30], np.log(medians[:30]))]
    assert max(scales) > 0.999


@pytest.mark.parametrize("column", ["precision", "machine", "threads", "heads", "delegate", "median", "doubts"])
def test_a_column_head_sorts_and_sorts_back(column: str, report: Page):
    head = report.one(f"th[data-sort={column}]")
    directions, texts = [], []
    for _ in range(2):
        report.one(f"th[data-sort={column}] button").click()
        directions.append(head.get_attribute("aria-sort"))
        texts.append(cells(report, column))
    assert set(directions) == {"ascending", "descending"}
    up, down = texts if directions[0] == "ascending" else texts[::-1]
    assert len(up) == len(down) == 200
    if column in {"threads", "median", "doubts"}:
        numbers = [[float(text.split("\n")[0].replace("–", "0")) for text in column] for column in (up, down)]
        assert numbers[0] == sorted(numbers[0])
        assert numbers[1] == sorted(numbers[1], reverse=True)
    else:
        assert up == sorted(up)
        assert down == sorted(down, reverse=True)


@pytest.mark.parametrize(
    ("name", "value", "column"),
    [
        ("precision", "int8", "precision"),
        ("machine", MACHINES[1][1], "machine"),
        ("heads", "landmarks", "heads"),
        ("threads", "4", "threads"),
    ],
)
def test_a_filter_leaves_its_rows_and_their_charts(name: str, value: str, column: str, report: Page):
    drawn = report.run("return Number(byId('plot-ranges').dataset.drawn)")
    choose(report, name, value)
    shown = cells(report, column)
    assert 0 < len(shown) < 200
    assert set(shown) == {value}
    assert report.one("#shown").text == f"{len(shown)} of 200 shown"
    assert report.run("return Number(byId('plot-ranges').dataset.drawn)") > drawn
    report.one("#filters button[type=reset]").click()
    report.wait(lambda: report.one("#shown").text == "200 shown")


def test_filters_and_the_search_join(report: Page):
    choose(report, "precision", "fp16")
    report.one("#search").send_keys("heavy old")
    shown = report.run(f"{VISIBLE_ROWS}.map((body) => body.innerText)")
    assert 0 < len(shown) < 20
    assert all("heavy" in text and "fp16" in text and "Acme Old 3" in text for text in shown)
    report.one("#search").send_keys("nothing like it")
    assert report.run(VISIBLE_ROWS) == []
    assert report.one("#nothing").is_displayed()
    report.wait_for_charts()
    assert report.one("#plot-ranges .empty").is_displayed()
    assert report.console() == []


def test_all_of_it_works_from_the_keyboard(report: Page, full: Path):
    from selenium.webdriver.common.keys import Keys

    report.open(full)

    def focused() -> str:
        return report.run(
            "const e = document.activeElement; return e.id || e.className || e.closest('th')?.dataset.sort || e.tagName"
        )

    body = report.one("body")
    seen = []
    for _ in range(16):
        report.driver.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(focused())
    assert seen[:2] == ["skip", "theme"]
    assert "search" in seen
    body.send_keys("/")
    assert focused() == "search"
    assert report.one("#search").get_attribute("value") == ""
    report.one("th[data-sort=median] button").send_keys(Keys.ENTER)
    assert report.one("th[data-sort=median]").get_attribute("aria-sort") == "ascending"
    more = report.one("#records tbody:not([hidden]) .more")
    more.send_keys(Keys.SPACE)
    assert more.get_attribute("aria-expanded") == "true"
    about = report.one(f"#{more.get_attribute('aria-controls')}")
    assert about.is_displayed()
    assert "worth publishing" in about.text
    for fact in ("num_threads", "sha256", "min_samples", "schema version"):
        assert fact in about.text
    more.send_keys(Keys.ENTER)
    assert not about.is_displayed()
    outline = report.run("arguments[0].focus(); return getComputedStyle(arguments[0]).outlineStyle", more)
    assert outline != "none"


def test_synthetic_records_are_hollow_and_named_in_charts(report: Page):
    choose(report, "origin", "synthetic")
    fills = report.run("return [...document.querySelectorAll('#plot-ranges .point')].map((e) => e.style.fill)")
    assert fills
    assert set(fills) == {"none"}
    assert all(
        "synthetic" in text
        for text in report.run(
            "return [...document.querySelectorAll('#plot-ranges .ytick text')].map((e) => e.textContent)"
        )
    )
    choose(report, "origin", "measured")
    fills = report.run("return [...document.querySelectorAll('#plot-ranges .point')].map((e) => e.style.fill)")
    assert "none" not in fills
    conditions = report.run("return [...byId('pick-condition').options].map((option) => option.text)")
    assert any("synthetic" in text for text in conditions)
    assert "synthetic" not in conditions[0]


def test_a_front_holds_what_nothing_beats(report: Page):
    front, points = report.run(
        """const here = (row) => row.variant === pickVariant.value && conditionOf(row) === pickCondition.value;
        const list = rows.filter((row) => here(row) && row.mode === 'repeats');
        const pair = (row) => [row.median, row.size_bytes];
        return [front(list, (row) => row.size_bytes).map(pair), list.map(pair)]"""
    )
    beaten = [p for p in points if any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in points)]
    assert sorted(front) == sorted(p for p in points if p not in beaten)


def test_another_network_redraws_the_close_up(report: Page):
    before = report.one("#plot-heads").get_attribute("aria-label")
    report.run("pickVariant.value = 'pose_landmark_heavy'; pickVariant.dispatchEvent(new Event('input'))")
    report.wait_for_charts()
    assert report.one("#plot-heads").get_attribute("aria-label") != before
    report.run("pickVariant.value = 'pose_detection'; pickVariant.dispatchEvent(new Event('input'))")
    report.wait_for_charts()
    assert not report.one("#figure-heads").is_displayed()
    titles = [element.text for element in report.all("#plots-accuracy b")]
    assert "missed, %" in titles


def test_light_and_dark_follow_the_system_and_the_button(report: Page):
    def brightness() -> tuple[float, float]:
        text = report.run("return getComputedStyle(document.querySelector('#plot-ranges text')).fill")
        page = report.run("return getComputedStyle(document.body).backgroundColor")
        return tuple(np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]]) for colour in (text, page))  # type: ignore[return-value]

    ink, paper = brightness()
    assert ink < 110 < paper
    report.prefer("dark")
    report.wait(
        lambda: report.run("return document.documentElement.dataset.charts") == "drawn" and brightness()[0] > 140
    )
    assert brightness()[1] < 60
    report.one("#theme").click()
    report.wait_for_charts()
    assert report.one("#theme").text == "Theme: light"
    ink, paper = brightness()
    assert ink < 110 < paper
    for _ in range(2):
        report.one("#theme").click()
    assert report.one("#theme").text == "Theme: auto"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screenshot_has_the_structure_of_a_report(scheme: str, report: Page):
    """Coarse blocks of the first chart: quiet ground, labels on the left, coloured dots from top to bottom."""
    report.prefer(scheme)
    choose(report, "variant", "pose_landmark_lite")
    report.wait_for_charts()
    picture = picture_of(report, "#plot-ranges")
    height, width, _ = picture.shape
    ground = np.median(picture, axis=(0, 1))
    assert ground.mean() > 0.95 if scheme == "light" else ground.mean() < 0.2
    different = np.abs(picture - ground).max(-1) > 0.25
    assert 0.005 < different.mean() < 0.2
    coloured = (picture.max(-1) - picture.min(-1)) > 0.35
    rows = np.array_split(np.arange(height), 30)
    start = report.run(
        "const plot = byId('plot-ranges'), left = (element) => element.getBoundingClientRect().x;"
        "return left(plot.querySelector('.bglayer .bg, .xy')) - left(plot)"
    )
    assert 0.1 * width < start < 0.6 * width
    assert sum(coloured[band, int(start) :].any() for band in rows) > 18
    assert not coloured[:, : int(start) - 12].any()
    assert different[:, : int(start) - 12].any(axis=1).mean() > 0.2


def test_a_narrow_page_scrolls_in_one_direction_only(report: Page):
    report.resize(390, 844)
    report.wait(lambda: report.run("return byId('plot-ranges').querySelector('.main-svg').clientWidth") < 390)
    report.wait_for_charts()
    assert report.run("return document.documentElement.scrollWidth") <= 390
    widths = report.run(
        "return [...document.querySelectorAll('.plot .main-svg')].map((svg) => svg.getBoundingClientRect().right)"
    )
    assert widths
    assert max(widths) <= 390


def test_it_prints_in_light_with_every_doubt(report: Page):
    report.prefer("dark")
    choose(report, "variant", "pose_detection")
    report.command(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    report.run("dispatchEvent(new Event('beforeprint'))")
    assert report.run("return getComputedStyle(document.body).backgroundColor") != "rgb(20, 23, 27)"
    assert report.run("return document.documentElement.dataset.theme") == "light"
    doubts = [body.text for body in report.run(VISIBLE_ROWS)]
    assert all("worth publishing" in text or "its own" in text for text in doubts)
    assert not report.one("#theme").is_displayed()
    widths = report.run("return [...document.querySelectorAll('.plot .main-svg')].map((svg) => svg.clientWidth)")
    assert max(widths) <= 1030
    report.run("dispatchEvent(new Event('afterprint'))")
    report.command("Emulation.setEmulatedMedia", media="", features=[])
    pdf = base64.b64decode(report.command("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])
    assert pdf.startswith(b"%PDF")
    report.wait_for_charts()
    assert report.run("return document.documentElement.dataset.theme ?? 'none'") == "none"


def test_pictures_and_problems_are_shown(report: Page):
    size = report.run("const image = document.querySelector('#pictures img'); return [image.naturalWidth, image.width]")
    assert size[0] == 64
    assert size[1] > 64
    problems = report.one("#problems")
    assert "1 file is not in this report" in problems.text
    problems.find_element("css selector", "summary").click()
    assert "half.json" in problems.text


def test_hostile_names_do_nothing_but_stand_there(browser: Page, tmp_path: Path):
    for number, text in enumerate(HOSTILE):
        hostile(text).write(tmp_path / "results" / f"{number}.json")
    browser.resize(1400)
    browser.console(), browser.requests()
    browser.open(build(tmp_path))
    for more in browser.all(".more"):
        more.click()
    assert browser.console() == []
    assert browser.run("return window.hacked ?? null") is None
    assert all(address.startswith(("file:", "data:")) for address in browser.requests())
    assert browser.all("#records img, .plot img, .plot a, #records a, #provenance a, #filters script") == []
    assert browser.run("return document.documentElement.dataset.charts") == "drawn"
    ticks = browser.run(
        "return [...document.querySelectorAll('#plot-ranges .ytick text')].map((e) => e.textContent).join(' ')"
    )
    for text in HOSTILE:
        shown = "".join(plain_text(text).split())
        assert shown in "".join(browser.one("#records").get_attribute("textContent").split())
        assert shown[:20] in "".join(ticks.split())


def test_one_record_without_samples_or_manifest_is_a_page_too(browser: Page, tmp_path: Path):
    played_record(PlayedFile("pose_detection", "all", "fp32"), with_samples=False).write(
        tmp_path / "results" / "a.json"
    )
    browser.console()
    browser.open(build(tmp_path))
    assert browser.console() == []
    assert len(browser.run(VISIBLE_ROWS)) == 1
    assert browser.one("#plot-ranges .main-svg").is_displayed()
    assert "No record here holds samples" in browser.one("#plot-shares").text
    for hidden in ("#sustained", "#figure-error", "#figure-heads", "#accuracy"):
        assert not browser.one(hidden).is_displayed()


def test_a_broken_library_leaves_the_table(browser: Page, full: Path, tmp_path: Path):
    packed = base64.b64encode(gzip.compress(b"nonsense(")).decode()
    broken = re.sub(r'(id="plotly">)[^<]+', rf"\g<1>{packed}", full.read_text())
    (tmp_path / "broken.html").write_text(broken)
    browser.open(tmp_path / "broken.html")
    assert browser.console()
    assert browser.run("return document.documentElement.dataset.charts") == "failed"
    assert "No charts" in browser.one("#plot-ranges").text
    choose(browser, "precision", "int8")
    assert set(cells(browser, "precision")) == {"int8"}
