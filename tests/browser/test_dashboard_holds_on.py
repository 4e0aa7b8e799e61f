"""The dashboard holds on: many tabs, a console that is killed, an answer that does not come, an unknown past."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import Browser, expect

from penstock.events import RolloutHeld
from tests.support.builders import an
from tests.support.console.story import baking

PAGE = f"/rollouts/{baking().rollout}"
LIVE = "#freshness[data-state=live], #freshness[data-state=silent]"


def sign_in(page, then):
    page.goto(f"/login?then={then}")
    page.fill("input[name=token]", "olga-token")
    page.click("main button")


def test_with_seven_tabs_open_the_eighth_loads_and_its_button_works(browser: Browser, served) -> None:
    context = browser.new_context(base_url=served.url)
    tabs = [context.new_page() for _ in range(7)]
    for tab in tabs:
        tab.goto(PAGE)
        expect(tab.locator(LIVE)).to_be_visible()
    page = context.new_page()
    sign_in(page, PAGE)
    expect(page.locator(LIVE)).to_be_visible()
    page.locator("#ask-rollback summary").click()
    page.fill("#why-rollback", "customers see errors")
    began = time.monotonic()
    page.locator("#ask-rollback button").click()
    expect(page.locator(".said")).to_contain_text("Requested", timeout=15_000)
    assert [topic for topic, _ in served.console.published] == ["commands"]
    assert time.monotonic() - began < 10
    event = an(RolloutHeld, target=baking().target, rollout=baking().rollout, sequence=3, stage="canary")
    served.hear("rollouts", event)
    tabs[0].bring_to_front()
    expect(tabs[0].locator("h1 .badge")).to_have_text("Held")
    context.close()


def console(port: int) -> subprocess.Popen[bytes]:
    found = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.doors.server", "console", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert found.stdout is not None
    assert int(found.stdout.readline()) == port
    return found


class Starting(BaseHTTPRequestHandler):
    """A console that is still reading its log."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_page_comes_back_by_itself_after_the_console_was_killed(browser: Browser, port: int) -> None:
    running = console(port)
    context = browser.new_context(base_url=f"http://127.0.0.1:{port}")
    page = context.new_page()
    page.goto(PAGE)
    expect(page.locator(LIVE)).to_be_visible()
    page.evaluate("window.stayed = true")
    running.kill()
    running.communicate()
    expect(page.locator("#freshness")).to_contain_text("Reconnecting, as of 14:30:0")
    # A 503 is what makes an EventSource give up for good.
    starting = HTTPServer(("127.0.0.1", port), Starting)
    threading.Thread(target=starting.serve_forever, daemon=True).start()
    deadline = time.monotonic() + 30
    while "/pages/changes" not in Starting.asked and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert "/pages/changes" in Starting.asked
    starting.shutdown()
    starting.server_close()
    running = console(port)
    try:
        expect(page.locator(LIVE)).to_be_visible(timeout=40_000)
        assert page.evaluate("window.stayed") is True
    finally:
        context.close()
        running.communicate(b"")


def test_a_submit_that_gets_no_answer_says_so_within_five_seconds(browser: Browser, served) -> None:
    context = browser.new_context(base_url=served.url)
    page = context.new_page()
    sign_in(page, PAGE)
    kept = []
    page.route("**/ask", lambda route: kept.append(route))
    page.locator("#ask-hold summary").click()
    page.fill("#why-hold", "let us look")
    # Playwright waits for a navigation that does not end: the page reports by itself.
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.evaluate(
        "new MutationObserver(() => console.log(document.querySelector('.wait')?.textContent))"
        ".observe(document.body, {childList: true, subtree: true, characterData: true})"
    )
    page.locator("#ask-hold button").click(no_wait_after=True)
    deadline = time.monotonic() + 15
    while not any("No answer within 5 s" in text for text in heard) and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert any("No answer within 5 s" in text for text in heard), heard
    sent = dict(parse_qsl(kept[0].request.post_data))
    assert len(sent["key"]) == 32, "pressed again, the same request is done once"
    kept[0].abort()
    context.close()


@pytest.mark.parametrize("path", ["/?at=3", f"{PAGE}?at=99999"])
def test_a_past_that_is_not_kept_is_404_with_words(served, path: str) -> None:
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"))
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 404
    assert "pages show the present only" in text
    assert '<html lang="en">' in text
