"""The OFREP event stream: announces that answers may have changed, never what they are."""

import msgspec

from services.flag_control.serving.http_responses import Receive, Send
from services.flag_control.serving.store import FlagSet, Mailbox
from services.runtime.process.tasks import begin

HEARTBEAT_SECONDS = 15.0
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ],
}


async def stream_changes(mailbox: Mailbox, seen: str, receive: Receive, send: Send) -> None:
    """Send `refetchEvaluation` whenever the set has another revision than the client has seen, until it leaves."""
    await send(dict(_START))
    await send(_chunk(b"retry: 1000\n\n"))
    leaving = begin(_left(receive))
    leaving.add_done_callback(lambda _: mailbox.close())
    try:
        while not mailbox.closed:
            flag_set = await mailbox.next_set(HEARTBEAT_SECONDS)
            if flag_set is None:
                await send(_chunk(b": still here\n\n"))
            elif flag_set.revision != seen:
                # Also on a first connection: the set may have changed since the client fetched it; a 304 costs little.
                seen = flag_set.revision
                await send(_chunk(_message(flag_set)))
        await send({"type": "http.response.body", "body": b""})
    finally:
        leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _message(flag_set: FlagSet) -> bytes:
    data = msgspec.json.encode({"type": "refetchEvaluation", "etag": flag_set.revision})
    return b"id: %s\nevent: message\ndata: %s\n\n" % (flag_set.revision.encode(), data)


def _chunk(body: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": True}
