"""A console by hand: it answers the command line's requests from a few values, and remembers what it was asked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

TARGET = "production/checkout/new-form"


def view(**changes: Any) -> dict[str, Any]:
    """A rollout as the API shows it."""
    return {
        "id": "ro-0123456789ab",
        "target": TARGET,
        "phase": "baking",
        "stage": "canary",
        "stage_index": 0,
        "exposure": 0.05,
        "exposure_actual": 0.05,
        "sequence": 2,
        "release": {"service": "checkout", "version": "1.4.2"},
        "plan_name": "checkout",
        "plan_hash": "ab" * 32,
        "stages": [{"name": "canary", "exposure": 0.05, "approvers": [], "state": "current"}],
        "ground": {"why": "deployed"},
        "judged": 3,
        "bake_min": 10,
        "bake_max": 20,
        "gates": [
            {"gate": "p99", "kind": "quantile", "word": "inconclusive", "canary": {"n": 900.0, "value": 0.41},
             "baseline": {"n": 9000.0, "value": 0.31}, "estimate": 0.32, "low": -0.02, "high": 0.8, "tolerance": 0.05,
             "windows_needed": 14},
        ],
        "word": "inconclusive",
        "sentence": "Baking at 5 %. p99 +32 % against a limit of +5 %: inconclusive.",
        "approvals_missing": 0,
        "began_at": "2026-11-24T02:00:00.000000Z",
        "updated_at": "2026-11-24T02:01:00.000000Z",
        "rollback": None,
        "quarantined": [],
        **changes,
    }  # fmt: skip


def event_row(number: int, kind: str = "stage.passed", **fields: Any) -> dict[str, Any]:
    """An event as the API shows it, with where it stands."""
    event = {
        "type": kind,
        "id": f"event-{number}",
        "source": "/penstock/rollout_control",
        "target": TARGET,
        "time": f"2026-11-24T02:00:{number:02d}.000000Z",
        "rollout": "ro-0123456789ab",
        **fields,
    }
    return {"topic": "rollouts", "partition": 3, "offset": number, "event": event}


@dataclass
class FakeConsole:
    """Answers by path.

    Attributes:
        views: what GET of the rollout answers, one after the other; the last one stays.
        answers: (status, body) by path, before everything else.
        streams: what each connection to the stream says; an exception in it is raised, as a lost connection is.
    """

    views: list[dict[str, Any]] = field(default_factory=lambda: [view()])
    events: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    streams: list[list[str | Exception]] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        if path in self.answers:
            status, body = self.answers[path]
            return httpx.Response(status, json=body)
        if path == "/api/stream":
            said = self.streams.pop(0) if self.streams else [httpx.ConnectError("nobody here")]
            return httpx.Response(200, stream=Chunks(said))
        if path == "/api/rollouts":
            return httpx.Response(200, json={"rollouts": self.views})
        if path.startswith("/api/rollouts/") and path.endswith("/events"):
            return httpx.Response(200, json={"events": self.events})
        if path.startswith("/api/rollouts/") and request.method == "GET":
            shown = self.views.pop(0) if len(self.views) > 1 else self.views[0]
            return httpx.Response(200, json=shown)
        if path == "/api/events":
            return httpx.Response(200, json={"events": self.events})
        return httpx.Response(404, json={"error": "not found"})

    def body(self, place: int = -1) -> Any:
        """The JSON body of a request that was made."""
        return json.loads(self.requests[place].content)


class Chunks(httpx.SyncByteStream):
    """A response body that comes in pieces and may break."""

    def __init__(self, said: list[str | Exception]) -> None:
        self.said = said

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.said:
            if isinstance(piece, Exception):
                raise piece
            yield piece.encode()


def sse(seq: int, row: dict[str, Any]) -> str:
    """One message of the stream."""
    return f"id: {seq}\ndata: {json.dumps({'seq': seq, **row})}\n\n"
