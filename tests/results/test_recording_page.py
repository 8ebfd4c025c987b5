"""The page of a recording in a real browser: it shows, zooms and plays."""

from collections.abc import Iterator

import pytest

from tests.results.test_recording_media import SECONDS, gathered, page_path, sound, write  # noqa: F401
from tests.results.test_report_page import (  # noqa: F401
    DESKTOP,
    EVIL,
    PHONE,
    browser,
    open_page,
    pytestmark,
    wait_until,
)


@pytest.fixture
def page(browser, page_path) -> Iterator:  # noqa: F811
    page = open_page(browser, page_path, DESKTOP)
    yield page
    assert page.complaints == []
    assert all(url.startswith(("file:", "data:")) for url in page.requests)
    page.close()


def test_overview_counts_the_events_of_each_class(page):
    rows = page.locator("#overview-table tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [["Dog", "2", "2.0"], ["Cat", "1", "1.0"]]
    assert page.locator("#summary").inner_text().startswith("3 events (2 of 3 classes) in 0:10")
    page.locator('tr[data-label="Dog"] .hours button').nth(8).click()
    assert page.evaluate("[view.start, view.end]") == [8, 9]
    assert page.locator("#event-list button").count() == 1


def test_overview_of_a_long_recording_tells_events_per_hour(page):
    page.evaluate("recording.seconds = 720; showOverview()")
    rows = page.locator("#overview-table tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [["Dog", "2", "2.0", "10"], ["Cat", "1", "1.0", "5.0"]]


def test_click_on_an_event_plays_it_to_its_end(page):
    button = page.locator("#event-list button", has_text="Cat")
    at_click = button.evaluate("button => { button.click(); return position; }")  # before it plays on
    assert at_click == pytest.approx(2.5, abs=0.05)
    wait_until(page, "!playing.paused && position > 2.7")
    wait_until(page, "playing.paused && position > 3.1")  # at 3 s it pauses too, until the next piece plays
    assert page.evaluate("position") == pytest.approx(3.5, abs=0.3), "and from one piece to the next"
    assert page.evaluate("piece") == 1
    assert page.locator("#event-line").inner_text() == "0:02.50 to 0:03.50 Cat, score 0.60"


def test_click_on_a_lane_chooses_the_event_there(page):
    box = page.locator('.lane[data-label="Dog"] canvas').bounding_box()
    page.mouse.click(box["x"] + 0.85 * box["width"], box["y"] + 8)
    assert page.evaluate("chosen.onset") == 8.0
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 8)
    assert page.evaluate("position") == pytest.approx(5.0, abs=0.1)


def test_zoom_and_move_with_buttons_and_keys(page):
    page.locator("#zoom-in").click()
    assert page.evaluate("[view.start, view.end]") == [2.5, 7.5]
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[view.start, view.end]") == [3.75, 8.75]
    for key in ("ArrowRight", "ArrowRight", "-", "-", "-"):
        page.keyboard.press(key)
    assert page.evaluate("[view.start, view.end]") == [0, 10]
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("chosen.label") == 1


def test_least_score_hides_events_everywhere(page):
    page.evaluate("byId('least-score').value = 0.7; byId('least-score').dispatchEvent(new Event('input'))")
    assert page.locator("#event-list button").count() == 2
    assert page.locator(".lane").count() == 1
    page.check("#all-classes")
    assert page.locator(".lane").count() == 3


def test_spectrogram_and_lanes_are_drawn(page):
    colours = (
        "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    )
    wait_until(page, "tiles.every(image => image.complete)")
    page.evaluate("draw()")
    for place in ("#spectrogram-canvas", "#map", ".lane canvas"):
        assert page.locator(place).first.evaluate(colours) > 10


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_nothing_is_wider_than_the_window(browser, page_path, viewport):  # noqa: F811
    page = open_page(browser, page_path, viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.close()


def test_names_are_shown_as_text_and_never_run(browser, tmp_path):  # noqa: F811
    write(tmp_path / "evil.html", gathered(sound(SECONDS)), EVIL, post_processing="event_boxes")
    page = open_page(browser, tmp_path / "evil.html", DESKTOP)
    assert page.evaluate("window.hacked") is None
    assert EVIL in page.locator("h1").text_content()
    assert page.complaints == []
    page.close()
