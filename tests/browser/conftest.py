"""A headless Chromium and a console on a real port, both in the test's process; skipped where there is no Chromium."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.console.app import ConsoleApp
from tests.support.console.story import project

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# A busy machine is slow, not wrong.
expect.set_options(timeout=20_000)


class Served:
    """A console served on `url`; `hear` may be called from the test's thread."""

    def __init__(self) -> None:
        self.console = ConsoleApp(project(), now=datetime(2026, 3, 2, 14, 30, tzinfo=UTC))
        config = uvicorn.Config(self.console.app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server._serve()

    def hear(self, topic: str, event: object) -> None:
        """Have the console hear an event, in its own loop."""
        done = threading.Event()

        def put() -> None:
            self.console.hear(topic, event)
            done.set()

        self._loop.call_soon_threadsafe(put)
        assert done.wait(5)

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self.console.hub.close)
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser of all tests."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser")))
    program = os.environ.get("CHROMIUM") or next(found, None)
    if program is None or not Path(program).exists():
        pytest.skip("no Chromium here: apt-get install chromium, or name it in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def served() -> Iterator[Served]:
    """A console of its own for each test."""
    served = Served()
    yield served
    served.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """A page whose violations of the content security policy and script errors fail the test."""
    context = browser.new_context(base_url=served.url, viewport={"width": 1360, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
    )
    page.wrong = wrong  # type: ignore[attr-defined]
    yield page
    context.close()
    assert wrong == []
