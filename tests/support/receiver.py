"""A subscriber on a free port of this machine: answers as told, keeps what it heard, checks the signatures."""

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any

import msgspec
import standardwebhooks

from services.runtime.http.server import HttpServer

SECRET = "whsec_" + base64.b64encode(b"a secret of this very test, 0000").decode()


@dataclass(frozen=True)
class Message:
    """One verified request."""

    id: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body's JSON."""
        return msgspec.json.decode(self.body)


@dataclass
class Receiver:
    """Answers with `status`, in order of `then` first; while it is silent it does not answer at all."""

    status: int = 204
    then: list[int] = field(default_factory=list)
    heard: list[Message] = field(default_factory=list)
    _server: HttpServer | None = None
    _speaks: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Listen, and answer."""
        self._speaks.set()
        self._server = HttpServer(self._serve, "127.0.0.1", 0, interface="asgi3")
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening; requests that wait are let go."""
        self._speaks.set()
        if self._server is not None:
            await self._server.stop()

    def be_silent(self, silent: bool = True) -> None:
        """Leave requests without an answer from now on, or answer again, those that wait first."""
        if silent:
            self._speaks.clear()
        else:
            self._speaks.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.port}/hook"

    @property
    def ids(self) -> list[str]:
        """The webhook-ids heard, in order."""
        return [message.id for message in self.heard]

    @property
    def types(self) -> list[str]:
        """The event types heard, as `noun.participle` or as the body has them, in order."""
        return [message.document["type"] for message in self.heard]

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            part = await receive()
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        standardwebhooks.Webhook(SECRET).verify(body, headers)
        self.heard.append(Message(headers["webhook-id"], headers, body))
        await self._speaks.wait()
        status = self.then.pop(0) if self.then else self.status
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})
