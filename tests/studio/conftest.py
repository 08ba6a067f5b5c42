"""A real server with the studio, and a real Chromium before it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

COMMAND = "import sys; from heartlib.cli import main; sys.exit(main(sys.argv[1:]))"
NEEDED = ("fastapi", "uvicorn", "prometheus_client", "gradio", "httpx")
collect_ignore = ["test_page.py"] if any(find_spec(name) is None for name in NEEDED) else []
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a studio whose songs are nano's."""
    for name in NEEDED:
        pytest.importorskip(name)
    data = tmp_path_factory.mktemp("studio") / "data"
    command = [sys.executable, "-c", COMMAND, "serve", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next((x for x in process.stderr if x.startswith("heartlib: http")), "")
        assert line, process.wait(10)
        yield line.split()[1]
        process.terminate()
        assert process.wait(30) == 0, "an open page must not keep the server"
    finally:
        process.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, url: str) -> Iterator[Callable[..., Any]]:
    """Opens the studio as somebody new: visit(width=390, color_scheme="dark"). No other host is asked, nothing fails on the page."""
    contexts, wrong = [], []

    def said(message: Any) -> None:
        cancelled = message.location.get("url", "").endswith("/audio")  # whose sound does not come
        if message.type == "error" and not cancelled:
            wrong.append(message.text)

    def visit(width: int = 1280, height: int = 860, **look: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **look)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", said)
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((url, "data:", "blob:")) else wrong.append(asked.url)
            ),
        )
        page.goto(url)
        page.wait_for_selector("#create")
        page.wait_for_selector("#player .empty, heartlib-player")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not wrong
