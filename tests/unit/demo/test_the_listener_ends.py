"""The thread that hears the demo's events hears them, and ends when it is closed, whatever the console does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deploy.demo.listener import Listener
from penstock.events import RolloutHeld, to_json
from tests.support.builders import an

EVENT = an(RolloutHeld)


class Told(BaseHTTPRequestHandler):
    """A console that tells one event and hangs up."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        told = {"topic": "rollouts", "partition": 0, "offset": 0, "event": to_json(EVENT)}
        self.wfile.write(f"id: 1\ndata: {json.dumps(told)}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        return


@contextmanager
def console() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_it_hears_and_after_its_close_no_thread_goes_on() -> None:
    listener = Listener()
    with console() as address:
        listener.start(address, {EVENT.target})
        assert listener.received.get(timeout=60) == EVENT
        assert listener.alive
    listener.close()
    assert not listener.alive
    assert listener.received.empty(), "the end of the console after the close is no error"


def test_a_console_that_was_never_there_is_an_error_that_is_heard() -> None:
    listener = Listener()
    with console() as address:
        pass
    listener.start(address, {EVENT.target})
    assert "does not answer" in str(listener.received.get(timeout=60))
    listener.close()
    assert not listener.alive


def test_one_that_never_listened_can_be_closed() -> None:
    listener = Listener()
    listener.close()
    assert not listener.alive
