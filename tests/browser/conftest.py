"""A real Chromium, and the console as `crimeguard ui` starts it."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from crimeguard.ui.launch import command, environment
from tests.ui.fake_api import FakeApi, running

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip


@dataclass(frozen=True)
class Console:
    """A running console, and the stand-in API that it talks to."""

    url: str
    api: FakeApi


# Not for the session: while Playwright runs, no other test can have an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        # The first chart and the first map load a few megabytes of script each.
        expect.set_options(timeout=60_000)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def served(api_url: str) -> Iterator[str]:
    """Serve the console for the API at `api_url` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    child = subprocess.Popen(
        command(port), env=environment(api_url), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, child)
        yield url
    finally:
        child.terminate()
        child.wait(timeout=20)


@pytest.fixture(scope="module")
def console(browser: Browser) -> Iterator[Console]:
    with running() as api, served(api.url) as url:
        yield Console(url, api)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    yield from _page(browser, 1280)


@pytest.fixture
def narrow_page(browser: Browser) -> Iterator[Page]:
    yield from _page(browser, 390)


def _page(browser: Browser, width: int) -> Iterator[Page]:
    """Open a page that fails its test if anything but loopback is asked for anything."""
    context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
    outside: list[str] = []
    context.on("request", _note_outside(outside))
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()
    assert outside == []


def _note_outside(outside: list[str]) -> Callable[[object], None]:
    def note(request: object) -> None:
        url = str(getattr(request, "url", ""))
        if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            outside.append(url)

    return note


def _wait_for(url: str, child: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert child.poll() is None, "the console ended before it was ready"
        try:
            if httpx.get(f"{url}/_stcore/health", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    pytest.fail("the console was not ready within 30 s")
