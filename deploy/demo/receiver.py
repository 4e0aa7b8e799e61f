"""A subscriber, as any team might run one: receives webhooks, checks their signatures, keeps them."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from penstock.errors import UnauthorizedError
from penstock.webhooks import verify

_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Received:
    """One delivery: where it was POSTed, the id it was signed with, its event's type, whether the signature fits."""

    path: str
    id: str
    type: str
    verified: bool
    at: datetime


class Receiver:
    """Listens on a free port until `close`."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)
        self._received: list[Received] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def received(self) -> tuple[Received, ...]:
        """What has been delivered so far, in order."""
        return tuple(self._received)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def accept(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Return the status that answers a delivery, and keep it."""
        now = datetime.now(UTC)  # noqa: TID251 - a receiver checks timestamps against its own clock
        try:
            message, verified = verify(self._secrets, headers, body, now), True
        except UnauthorizedError:
            message, verified = headers.get("webhook-id", ""), False
        self._received.append(Received(path, message, _type_of(headers, body), verified, now))
        return 204 if verified else 401

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = min(int(self.headers.get("content-length") or 0), _MOST_BYTES)
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(receiver.accept(self.path, headers, self.rfile.read(length)))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
                return

        return Handler


def _type_of(headers: dict[str, str], body: bytes) -> str:
    """Return the CloudEvents type, of the binary or the structured mode; empty where there is none."""
    if "ce-type" in headers:
        return headers["ce-type"]
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("type", "")) if isinstance(document, dict) else ""
