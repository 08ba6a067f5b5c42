"""What a visitor does, in a real browser before a real server."""

from __future__ import annotations

import re
import time

import pytest

pytestmark = pytest.mark.slow
LYRICS = "[Verse]\nthe morning light is on the tree\n\n[Chorus]\nsing with me, the sky is new\n"
PLAYER = "heartlib-player"
SECONDS = 120
TIME = "document.querySelector('heartlib-player audio')?.currentTime"


def until(page, true: str) -> None:
    """Waits for an expression; Playwright's own way needs a page that may make programs of texts."""
    end = time.monotonic() + SECONDS
    while not page.evaluate(true):
        assert time.monotonic() < end, true
        page.wait_for_timeout(50)


def ask(page, seconds: float = 3, lyrics: str = LYRICS) -> None:
    """Fills the editor and presses Create."""
    page.fill("#lyrics textarea", lyrics)
    page.fill("#length input[type=number]", str(seconds))
    page.keyboard.press("Tab")
    page.click("#create")


def wait(page, status: str = "done") -> None:
    page.wait_for_selector(f"{PLAYER}[data-status={status}]")


def songs(page, count: int) -> list[str]:
    """The list, when it has so many."""
    until(page, f"document.querySelectorAll('#songs label').length === {count}")
    return page.locator("#songs label").all_inner_texts()


def open_panel(page, panel: str) -> None:
    page.click(f"{panel} > button, {panel} button.label-wrap")


def test_a_song_is_made_and_played(visit):
    page = visit()
    ask(page)
    until(page, f"{TIME} > 0.5")
    wait(page)
    until(page, "document.querySelector('#songs').textContent.includes('0:03')")
    assert page.locator(f"{PLAYER} .files a").all_inner_texts() == [
        "mp3",
        "wav",
        "flac",
        "LRC",
        "codes",
    ]
    with page.expect_download() as download:
        page.click(f"{PLAYER} .files a >> text=wav")
    assert download.value.path().read_bytes()[:4] == b"RIFF"
    page.evaluate("document.querySelector('heartlib-player audio').pause()")
    page.focus(f"{PLAYER} canvas")
    page.keyboard.press("End")  # the file has taken the stream's place
    until(page, f"{TIME} > 2.9")
    page.wait_for_selector(f"{PLAYER}[data-words=timed]")
    page.locator(f"{PLAYER} .word").nth(1).click()
    page.wait_for_selector(f"{PLAYER} .word.now")


def test_a_long_song_is_heard_while_it_is_sung(visit):
    page = visit()
    ask(page, 40)
    until(page, f"{TIME} > 0.2")
    assert page.get_attribute(PLAYER, "data-status") != "done"
    assert re.search(r"\[(Verse|Chorus)\].*can be heard", page.inner_text(f"{PLAYER} .status"))
    page.click("#cancel")
    wait(page, "cancelled")


def test_a_song_is_cancelled_and_removed(visit):
    page = visit()
    ask(page, 40)
    page.wait_for_selector(f"{PLAYER} .status:not(:empty)")
    page.click("#cancel")
    wait(page, "cancelled")
    assert "cancelled" in songs(page, 1)[0]
    page.click("#cancel")
    songs(page, 0)


def test_a_song_goes_on_is_sung_again_compared_and_found(visit):
    page = visit()
    ask(page)
    wait(page)
    songs(page, 1)
    open_panel(page, "#change")
    page.fill("#keep-until input", "2")
    page.fill("#length input[type=number]", "4")
    page.keyboard.press("Tab")
    page.click("#extend")
    assert "goes on from 2.0 s" in songs(page, 2)[0]
    wait(page)
    page.click("#section input")
    page.get_by_role("option", name="2. Chorus").click()
    page.click("#sing-again")
    assert "goes on from" in songs(page, 3)[0]
    wait(page)
    open_panel(page, "#compare")
    page.click("#to-a")
    page.wait_for_timeout(500)
    page.locator("#songs label").nth(2).click()
    until(
        page,
        "document.querySelectorAll('heartlib-player')[0].getAttribute('song') === document.querySelectorAll('#songs input')[2].value",
    )
    page.click("#to-b")
    page.click("heartlib-compare .play")
    until(page, "document.querySelector('heartlib-compare audio').currentTime > 0.3")
    page.click("heartlib-compare .side >> nth=1")
    heard = "[...document.querySelectorAll('heartlib-compare audio')].map((sound) => sound.muted)"
    assert page.evaluate(heard) == [True, False]
    open_panel(page, "#search")
    page.fill("#search-text input, #search-text textarea", "happy piano")
    page.click("#search-button")
    until(page, "document.querySelectorAll('#found label').length === 3")


def test_by_keyboard_alone(visit):
    page = visit()

    def tab_to(what: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.closest({what!r}) !== null"):
                return
        raise AssertionError(f"Tab does not come to {what}")

    tab_to("#lyrics")
    page.keyboard.type("the river sings to me")
    page.keyboard.press("Home")
    tab_to(".insert-section")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "[Verse]" in page.input_value("#lyrics textarea")
    tab_to("#tags-0")
    before = page.locator("#tags-0 input:checked").count()
    page.keyboard.press("Space")
    assert page.locator("#tags-0 input:checked").count() != before
    tab_to("#length")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("3")
    tab_to("#create")
    page.keyboard.press("Enter")
    wait(page)
    page.keyboard.press("ControlOrMeta+Enter")
    songs(page, 2)
    wait(page)
    tab_to("#songs")
    page.keyboard.press("ArrowDown")
    until(
        page,
        "document.querySelector('heartlib-player').getAttribute('song') === document.querySelectorAll('#songs input')[1].value",
    )
    assert page.evaluate("document.activeElement.closest('#songs') !== null")


@pytest.mark.parametrize("width, scheme", [(390, "light"), (390, "dark"), (1280, "dark")])
def test_widths_and_colours(visit, width, scheme):
    page = visit(width, color_scheme=scheme)
    for panel in ("#advanced", "#change", "#compare", "#search"):
        open_panel(page, panel)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    channels = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(x) for x in re.findall(r"\d+", channels)[:3]) / 3
    assert (brightness < 80) == (scheme == "dark"), channels


def test_fields_have_names(visit):
    page = visit()
    nameless = """() => [...document.querySelectorAll("input, textarea, select, audio, canvas")].filter((field) =>
      field.offsetParent && !field.labels?.length && !field.getAttribute("aria-label") && !field.getAttribute("aria-labelledby")
    ).map((field) => field.outerHTML.slice(0, 120))"""
    for panel in ("#advanced", "#change", "#compare", "#search"):
        open_panel(page, panel)
    assert page.evaluate(nameless) == []


def test_mistakes_are_told(visit):
    page = visit()
    page.click("#create")
    assert "lyrics" in page.inner_text(".toast-body")


def test_template_and_sections(visit):
    page = visit()
    page.click("#template")
    until(page, "document.querySelector('#lyrics textarea').value.includes('[Chorus]')")
    page.click(".insert-section >> text=[Bridge]")
    assert "[Bridge]" in page.input_value("#lyrics textarea")


def test_visitors_do_not_see_each_other(visit, url):
    first, second = visit(), visit()
    ask(first)
    first.wait_for_selector(PLAYER)
    id = first.get_attribute(PLAYER, "song")
    answers = [page.request.get(f"{url}/v1/songs/{id}").status for page in (first, second)]
    assert answers == [200, 404]
    first.click("#cancel")
