"""The results page in a real browser: it loads, filters, seeks, plays, and obeys the keyboard."""

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.results.test_report import every_verdict, page_data, two_runs  # noqa: F401 (fixtures)
from utils.results.page import write_page
from utils.scoring.event_errors import CORRECT, FALSE, MISSED, WRONG_BOUNDARY

playwright = pytest.importorskip("playwright.sync_api", reason="needs: pip install -r tests/requirements.txt")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.xdist_group("report"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SECONDS_APART = 0.05  # that the player may be from where it was sent
SECONDS_TO_STOP = 0.3  # that it may play on after an event's end
LOOKS, MILLISECONDS_BETWEEN_LOOKS = 500, 20
EVIL = "</script><script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=as_root)
        yield browser
        browser.close()


def open_page(browser, path: Path, viewport: dict[str, int]):
    """Open the page from disk; what goes wrong in it, and what it asks for, is kept in it."""
    page = browser.new_page(viewport=viewport)
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(path.as_uri())
    return page


@pytest.fixture
def page(browser, every_verdict) -> Iterator:  # noqa: F811
    page = open_page(browser, every_verdict[0], DESKTOP)
    yield page
    assert page.complaints == []
    assert all(url.startswith(("file:", "data:")) for url in page.requests)
    page.close()


@pytest.fixture(scope="module")
def verdicts(every_verdict) -> dict[str, set[str]]:  # noqa: F811
    return every_verdict[1]


def listed(page) -> list[str]:
    """The names of the clips in the list, from top to bottom."""
    return page.locator(".clip-option").evaluate_all("options => options.map(o => o.dataset.clip)")


def show(page, name: str) -> None:
    page.locator(f'[data-clip="{name}"]').click()
    assert page.locator("#clip-name").inner_text() == name


def clip_with(verdicts: dict[str, set[str]], wanted: set[str]) -> str:
    return next(name for name, found in verdicts.items() if found == wanted)


def player_time(page) -> float:
    return page.evaluate("document.getElementById('player').currentTime")


def wait_until(page, expression: str) -> None:
    """Wait for a condition; playwright's own way compiles scripts in the page, which its policy forbids."""
    for _ in range(LOOKS):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(MILLISECONDS_BETWEEN_LOOKS)
    raise AssertionError(f"never came true: {expression}")


def cursor_fraction(page) -> float:
    return float(page.locator("#cursor").evaluate("cursor => parseFloat(cursor.style.left)")) / 100


def test_page_loads_and_shows_all_its_parts(page, every_verdict):  # noqa: F811
    assert page.locator("#results-table tbody tr").count() == 1
    assert page.locator("#results-table tr.best").inner_text().count("★") == 1
    assert page.locator(".panel svg path").count() > 4
    assert page.locator(".class-row").count() == 10
    assert page.locator("#confusion-table tbody tr").count() == 11
    assert len(listed(page)) == 5
    loaded = page.locator("#spectrogram-image").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert loaded == [640, 64]
    wait_until(page, "document.getElementById('player').duration > 9.9")


def test_single_runs_of_several_seeds_are_one_click_away(browser, every_verdict, tmp_path):  # noqa: F811
    data = page_data(every_verdict[0])
    (row,) = data["rows"]
    row |= {"details": ["95 % interval", *["1.0–2.0"] * (len(row["cells"]) - 1)]}
    runs = [row | {"numbers": number} for number in "12"]
    data["rows"] = [row | {"numbers": "1-2", "runs": runs}]
    write_page(tmp_path / "seeds.html", "Seeds", data)
    page = open_page(browser, tmp_path / "seeds.html", DESKTOP)
    lines = page.locator("#results-table tbody tr")
    assert [line.is_visible() for line in lines.all()] == [True, False, False]
    button = lines.first.locator("button")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    assert [line.is_visible() for line in lines.all()] == [True, True, True]
    assert [line.inner_text().count("1.0–2.0") for line in lines.all()] == [len(row["cells"]) - 1] * 3
    button.click()
    assert [line.is_visible() for line in lines.all()] == [True, False, False]
    assert page.complaints == []
    page.close()


def test_filters_leave_the_clips_that_have_such_errors(page, verdicts):
    def names_with(verdict: str) -> set[str]:
        return {name for name, found in verdicts.items() if verdict in found}

    for verdict in (MISSED, FALSE, WRONG_BOUNDARY):
        page.select_option("#filter-error", verdict)
        assert set(listed(page)) == names_with(verdict)
    without_errors = {name for name, found in verdicts.items() if found <= {CORRECT}}
    page.select_option("#filter-error", "errors")
    assert set(listed(page)) == verdicts.keys() - without_errors
    page.select_option("#filter-error", "none")
    assert set(listed(page)) == without_errors
    assert page.locator("#clip-count").inner_text() == f"{len(without_errors)} of 5 clips"


def test_class_filter_leaves_the_clips_with_events_of_the_class(page, every_verdict):  # noqa: F811
    shown = page_data(every_verdict[0])["clips"]
    events = {
        clip["name"]: {event["label"] for event in clip["reference"]}
        | {judged["event"]["label"] for judged in found["predicted"]}
        for clip, found in zip(shown["clips"], shown["models"][0]["clips"], strict=True)
    }
    for label in ("Speech", "Dog", "Frying"):
        page.select_option("#filter-class", label)
        assert set(listed(page)) == {name for name, labels in events.items() if label in labels}


def test_filters_that_no_clip_fits_say_so(page):
    page.evaluate("report.clips.clips.length = 0; showList()")
    assert page.locator("#no-clip").is_visible()
    assert not page.locator("#clip").is_visible()


def test_clips_are_sorted_by_f1(page, verdicts):
    right = clip_with(verdicts, {CORRECT})
    page.select_option("#sort", "F1, highest first")
    f1 = page.evaluate("listed.map(f1)")
    assert f1 == sorted(f1, reverse=True)
    assert right in listed(page)[: f1.count(1.0)]
    page.select_option("#sort", "F1, lowest first")
    assert page.evaluate("listed.map(f1)") == sorted(f1)
    page.select_option("#sort", "name")
    assert listed(page) == sorted(listed(page))


def test_verdict_comes_first_and_clips_second(page, every_verdict):  # noqa: F811
    sections = page.locator("main > section").evaluate_all("sections => sections.map(one => one.id)")
    assert sections[:3] == ["verdict", "clips", "results"]
    data = page_data(every_verdict[0])
    f1 = dict(zip(data["class_labels"], data["class_scores"][0]["event_f1"], strict=True))
    scored = {label: value for label, value in f1.items() if value is not None}
    event_f1, weakest, confusion = page.locator("#verdict-list dd").all_inner_texts()
    assert event_f1 == f"{100 * data['event_f1']:.1f} %"
    lowest = [label for label, value in scored.items() if value == min(scored.values())]
    names = ", ".join(lowest) if len(lowest) <= 3 else f"{len(lowest)} classes"
    assert weakest == f"{names}, {100 * min(scored.values()):.1f} %"
    counts = data["clips"]["models"][0]["confusion"]
    labels = data["clips"]["labels"]
    most = max(counts[i][j] for i in range(len(labels)) for j in range(len(labels)) if i != j)
    if most > 1:
        missed, predicted = confusion.split(",")[0].split(" taken for ")
        assert counts[labels.index(missed)][labels.index(predicted)] == most
    else:
        assert confusion == "no pair twice"
    note = page.locator("#verdict-note").inner_text()
    assert data["date"] in note
    assert f"on the validation clips of {data['clips']['dataset']}." in note
    assert ["model_type", "Cnn_9layers_MaxPooling"] in data["settings"]
    page.locator("#verdict summary").click()
    assert page.locator("#settings-table tr").count() == len(data["settings"]) > 20


def test_results_can_be_downloaded_as_csv(page, every_verdict):  # noqa: F811
    with page.expect_download() as download:
        page.locator("#download").click()
    rows = list(csv.reader(download.value.path().read_text().splitlines()))
    data = page_data(every_verdict[0])
    assert download.value.suggested_filename == "results.csv"
    assert rows == [["run", *data["columns"]], ["1", *data["rows"][0]["cells"]]]


def test_click_on_an_event_plays_it(page, verdicts, every_verdict):  # noqa: F811
    name = clip_with(verdicts, {WRONG_BOUNDARY})
    show(page, name)
    clip = next(c for c in page_data(every_verdict[0])["clips"]["clips"] if c["name"] == name)
    last = max(clip["reference"], key=lambda event: event["onset"])
    lane = page.locator(f'.lane[data-label="{last["label"]}"]')
    lane.locator(".reference .event").last.click()
    assert last["onset"] - SECONDS_APART <= player_time(page) <= last["offset"] + SECONDS_APART
    wait_until(page, "!document.getElementById('player').paused")
    wait_until(page, "document.getElementById('player').paused")
    assert player_time(page) == pytest.approx(last["offset"], abs=SECONDS_TO_STOP)
    assert cursor_fraction(page) == pytest.approx(last["offset"] / 10, abs=SECONDS_TO_STOP / 10)
    text = page.locator("#event-line").inner_text()
    assert text.startswith(f"Reference {last['label']}, {last['onset']:.2f} to ")
    assert text.endswith(": wrong boundary")


def test_click_on_the_spectrogram_moves_player_there(page):
    box = page.locator("#spectrogram").bounding_box()
    page.locator("#spectrogram").click(position={"x": 0.25 * box["width"], "y": 20})
    assert player_time(page) == pytest.approx(2.5, abs=SECONDS_APART)


def test_events_stand_where_the_spectrogram_has_their_time(page, verdicts, every_verdict):  # noqa: F811
    name = clip_with(verdicts, {MISSED})
    show(page, name)
    clip = next(c for c in page_data(every_verdict[0])["clips"]["clips"] if c["name"] == name)
    picture = page.locator("#spectrogram").bounding_box()
    onsets = [round(event["onset"], 2) for event in clip["reference"]]
    boxes = [event.bounding_box() for event in page.locator(".reference .event").all()]
    found = [10 * (box["x"] - picture["x"]) / picture["width"] for box in boxes]
    assert sorted(found) == pytest.approx(sorted(onsets), abs=SECONDS_APART)


def test_space_plays_and_pauses_and_the_cursor_follows(page):
    page.locator("#clip-list").focus()
    page.keyboard.press("Space")
    wait_until(page, "document.getElementById('player').currentTime > 0.2")
    wait_until(page, "parseFloat(document.getElementById('cursor').style.left) > 2")
    page.keyboard.press("Space")
    assert page.evaluate("document.getElementById('player').paused")


def test_keys_go_from_clip_to_clip(page):
    names = listed(page)
    page.locator("#clip-list").focus()
    for key, place in (("ArrowRight", 1), ("j", 2), ("ArrowDown", 3), ("k", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        assert page.locator("#clip-name").inner_text() == names[place]
        assert page.locator(".clip-option[aria-selected]").get_attribute("data-clip") == names[place]


def test_tab_reaches_filters_list_player_and_events(page, verdicts):
    show(page, clip_with(verdicts, {MISSED, FALSE}))
    page.locator("#filter-class").focus()
    reached = set()
    for _ in range(40):
        reached.add(
            page.evaluate("document.activeElement.id || document.activeElement.className.split(' ')[0]")
        )
        page.keyboard.press("Tab")
    wanted = {"filter-class", "filter-error", "sort", "clip-list", "previous", "next", "player", "event"}
    assert wanted | {"all-classes"} <= reached
    page.locator(".event").last.focus()
    page.keyboard.press("Enter")
    assert page.locator("#event-line").inner_text()
    assert page.locator(".event").last.evaluate("event => getComputedStyle(event).outlineStyle") == "solid"


@pytest.fixture
def page_of_two(browser, two_runs) -> Iterator:  # noqa: F811
    page = open_page(browser, two_runs.report, DESKTOP)
    yield page
    assert page.complaints == []
    page.close()


def missed_in_table(page) -> str:
    """How many reference events the table of errors says were missed."""
    return page.locator("#verdict-table tfoot td").nth(3).inner_text()


def test_another_run_can_be_chosen(page_of_two, verdicts, two_runs):  # noqa: F811
    page, clips = page_of_two, page_data(two_runs.report)["clips"]
    show(page, clip_with(verdicts, {CORRECT}))
    assert page.locator(".predicted .event").count() > 0
    before = page.locator("#errors-model").inner_text(), missed_in_table(page)
    page.select_option("#run-a", "1")
    assert page.locator(".predicted .event").count() == 0
    assert page.locator(".reference .missed").count() == page.locator(".reference .event").count() > 0
    page.select_option("#filter-error", MISSED)
    assert len(listed(page)) == sum(bool(clip["reference"]) for clip in clips["clips"])
    assert page.locator("#errors-model").inner_text() == clips["models"][1]["title"] != before[0]
    assert missed_in_table(page) == str(sum(len(clip["reference"]) for clip in clips["clips"])) != before[1]
    assert page.locator("#verdict-note").inner_text().startswith(f"Best run: {clips['models'][0]['title']}")


def test_two_runs_stand_side_by_side(page_of_two, verdicts):
    page = page_of_two
    right, undetected = clip_with(verdicts, {CORRECT}), clip_with(verdicts, {MISSED})
    show(page, right)
    page.evaluate("document.getElementById('player').currentTime = 3")
    single = page.locator(".lane .curve").count()
    page.select_option("#run-b", "1")
    assert player_time(page) == 3
    labels = page.locator(".lane").first.locator(".row-label span").all_inner_texts()
    assert labels == ["Reference", "Run A", "Probability", "Run B", "Probability"]
    assert page.locator(".lane .curve").count() == 2 * single
    first = page.locator(".reference .event").first
    assert first.inner_text() == "✓ ?"
    assert first.get_attribute("title").endswith(": correct in A, missed in B")
    assert page.locator(".clip-option[aria-selected] small").all_inner_texts()[1].startswith("B: F1 0 %, ")
    show(page, undetected)
    assert page.locator(".reference .missed").count() == page.locator(".reference .event").count() > 0
    page.select_option("#sort", "F1 of A and B, most different first")
    assert listed(page)[0] == right
    page.select_option("#run-b", "")
    assert page.locator("#sort").input_value() == "F1, lowest first"
    assert page.locator(".lane").first.locator(".row-label span").count() == 3


def test_all_classes_can_be_shown(page):
    page.check("#all-classes")
    assert page.locator(".lane").count() == 10


def test_runs_can_be_hidden_in_the_curves(page):
    drawn = page.locator(".panel svg path").count()
    page.locator("#legend input").first.uncheck()
    assert page.locator(".panel svg path").count() < drawn


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_nothing_is_wider_than_the_window(browser, two_runs, viewport):  # noqa: F811
    page = open_page(browser, two_runs.report, viewport)
    page.select_option("#run-b", "1")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.locator(".event, .lane").count() > 0
    page.close()


def test_all_scores_are_within_the_window_of_a_phone(browser, every_verdict):  # noqa: F811
    page = open_page(browser, every_verdict[0], PHONE)
    cells = page.locator("#results-table tbody td")
    boxes = [cell.bounding_box() for cell in cells.all()]
    assert len(boxes) > 8
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"] for box in boxes)
    names = cells.evaluate_all("cells => cells.map(cell => getComputedStyle(cell, '::before').content)")
    assert '"event F1"' in names
    page.close()


def test_scores_of_many_classes_scroll_within_the_page(browser, every_verdict, tmp_path):  # noqa: F811
    data = page_data(every_verdict[0])
    data["class_labels"] = [f"class {number}" for number in range(200)]
    for model in data["class_scores"]:
        model |= {"event_f1": [0.5] * 200, "segment_f1": [0.5] * 200}
    write_page(tmp_path / "many.html", "many classes", data)
    page = open_page(browser, tmp_path / "many.html", DESKTOP)
    assert page.locator(".class-row").count() == 200
    assert page.locator("#classes").bounding_box()["height"] < DESKTOP["height"]
    page.close()


def test_names_are_shown_as_text_and_never_run(browser, every_verdict, tmp_path):  # noqa: F811
    data = page_data(every_verdict[0])
    data["shown_title"] = data["rows"][0]["cells"][0] = data["run_titles"][0] = EVIL
    for model in data["class_scores"]:
        model["title"] = EVIL
    for clip in data["clips"]["clips"]:
        clip["name"] = EVIL
    write_page(tmp_path / "evil.html", EVIL, data)
    page = open_page(browser, tmp_path / "evil.html", DESKTOP)
    assert page.evaluate("window.hacked") is None
    for place in ("h1", "#clip-name", "#results-table tbody th", "#legend", ".clip-option"):
        assert EVIL in page.locator(place).first.text_content()
    assert page.complaints == []
    page.close()


def test_a_script_that_gets_in_nevertheless_does_not_run(browser, every_verdict, tmp_path):  # noqa: F811
    text = every_verdict[0].read_text().replace("<main>", "<main><script>window.hacked = true</script>")
    (tmp_path / "evil.html").write_text(text)
    page = open_page(browser, tmp_path / "evil.html", DESKTOP)
    assert page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in complaint for complaint in page.complaints)
    page.close()
