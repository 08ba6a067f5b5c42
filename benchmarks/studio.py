"""The studio in a real Chromium: seconds from "Create" to the first sound, and the pictures of docs/.

    python benchmarks/studio.py first-sound --songs 4
    python benchmarks/studio.py pictures docs/pictures

Needs playwright (no browser of its own) and Chromium, `--chromium /usr/bin/chromium`. The first song is asked for as soon as
the page is there, the others when models are loaded; sound is heard when the player's time runs. One JSON line at the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

COMMAND = "import sys; from heartlib.cli import main; sys.exit(main(sys.argv[1:]))"
LYRICS = "[Verse]\nthe morning light is on the tree\na little bird will sing to me\n\n[Chorus]\nsing with me, the sky is new\n"
PATIENCE = 300_000  # ms
CREATE = """() => new Promise((told, failed) => {
  const start = performance.now(), old = document.querySelector("heartlib-player");
  document.querySelector("#create").click();
  const look = () => {
    const player = document.querySelector("heartlib-player"), sound = player?.querySelector("audio");
    const passed = performance.now() - start;
    if (player !== old && sound?.currentTime > 0) told((passed / 1000 - sound.currentTime));
    else if (passed > 120000) failed(new Error("no sound after 120 s"));
    else setTimeout(look, 5);
  };
  look();
})"""


@contextmanager
def served(*flags: str) -> Iterator[str]:
    """The address of a server with a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMMAND, "serve", "--port", "0", "--data", folder, *flags]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("heartlib: http"):
                    yield line.split()[1]
                    return
            raise SystemExit("the server does not start")
        finally:
            process.terminate()
            process.wait(60)


def opened(browser: Browser, url: str, **look: Any) -> Page:
    """The studio in a window of its own, with lyrics."""
    page = browser.new_context(**look).new_page()
    page.goto(url)
    page.wait_for_selector("#create", timeout=PATIENCE)
    page.fill("#lyrics textarea", LYRICS)
    page.mouse.click(5, 5)  # a visitor who has touched the page hears songs without asking
    return page


def set_length(page: Page, seconds: float) -> None:
    """Most seconds of the next song."""
    page.fill("#length input[type=number]", str(seconds))
    page.keyboard.press("Tab")
    page.wait_for_timeout(200)


def done(page: Page) -> None:
    """Waits for the song that is shown, and for the times of its words."""
    page.wait_for_selector("heartlib-player[data-status=done]", timeout=PATIENCE)
    page.wait_for_selector(
        "heartlib-player[data-words]:not([data-words=awaited])", timeout=PATIENCE
    )


def first_sound(browser: Browser, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the click to the player's first moment of sound."""
    found = []
    with served() as url:
        page = opened(browser, url)
        set_length(page, args.length)
        for number in range(args.songs):
            found.append(page.evaluate(CREATE))
            print(f"song {number + 1}: {found[-1]:.2f} s to the first sound", flush=True)
            done(page)
    warm = found[1:] or found
    return {
        "length_s": args.length,
        "at_once_s": round(found[0], 2),
        "loaded_s": [round(x, 2) for x in warm],
        "loaded_median_s": round(statistics.median(warm), 2),
    }


def pictures(browser: Browser, args: argparse.Namespace) -> dict[str, Any]:
    """The studio in light, in dark and on a phone."""
    args.folder.mkdir(parents=True, exist_ok=True)
    looks: dict[str, dict[str, Any]] = {
        "studio": {"viewport": {"width": 1200, "height": 860}, "color_scheme": "light"},
        "studio-dark": {"viewport": {"width": 1200, "height": 860}, "color_scheme": "dark"},
        "studio-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
    }
    sizes = {}
    with served() as url:
        for name, look in looks.items():
            page = opened(browser, url, **look)
            set_length(page, 5)
            page.click("#create")
            done(page)
            page.evaluate("document.querySelector('heartlib-player audio').pause()")
            page.evaluate("document.querySelector('heartlib-player audio').currentTime = 2.2")
            phone = name == "studio-phone"
            top = "document.querySelector('heartlib-player').scrollIntoView()"
            page.evaluate(top if phone else "window.scrollTo(0, 0)")
            time.sleep(1)
            path = args.folder / f"{name}.png"
            page.screenshot(path=path)
            sizes[path.name] = path.stat().st_size
    return {"bytes": sizes}


def main() -> None:
    """Measures, or takes pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    commands = parser.add_subparsers(dest="what", required=True)
    sound = commands.add_parser("first-sound")
    sound.add_argument("--songs", type=int, default=4)
    sound.add_argument("--length", type=float, default=20.0)
    commands.add_parser("pictures").add_argument("folder", type=Path)
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        found = {"first-sound": first_sound, "pictures": pictures}[args.what](browser, args)
        browser.close()
    print(json.dumps({"benchmark": f"studio {args.what}", **found}))


if __name__ == "__main__":
    main()
