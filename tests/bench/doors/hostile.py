"""Hostile requests as raw bytes, generated from a seed: each is a list of pieces with pauses, and says its kind."""

import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.bench.doors.bodies import BODIES, Body

Piece = tuple[bytes, float]
"""Bytes to send, and the pause after them in seconds."""


@dataclass(frozen=True)
class Door:
    """What there is to attack.

    Attributes:
        paths: GET or POST; tokens: of identities with and without a role; bodies: names in `BODIES` that fit.
    """

    posts: Sequence[str]
    gets: Sequence[str]
    token: str
    bodies: Sequence[str]
    types: Sequence[str]


ROLLOUT = "/api/rollouts/ro-0123456789ab"
DOORS = {
    "console": Door(
        (
            "/events", "/api/plans", "/api/plans/lint", "/api/quarantine/lift", f"{ROLLOUT}/promote", f"{ROLLOUT}/x",
            "/login", "/logout", "/rollouts/ro-0123456789ab/ask", "/flags/staging/shop/banner/kill",
        ),
        (
            "/", "/events", "/flags", "/plans", "/dead-letters", "/api/rollouts", "/api/events", "/api/plans",
            "/api/stream", "/pages/changes", "/pages/events/parts", "/openapi.json", "/static/style.css", ROLLOUT,
            "/flags/a/b/c", "/rollouts/x", "/health/ready",
        ),
        "root-token",
        ("json", "yaml", "form", "event"),
        ("application/json", "application/yaml", "application/x-www-form-urlencoded", "application/cloudevents+json",
         "application/cloudevents-batch+json", "multipart/form-data; boundary=x", "text/plain"),
    ),
    "otlp": Door(
        ("/v1/metrics",), ("/v1/metrics", "/v1/traces", "/health/ready"), "a-token-of-the-tests",
        ("protobuf", "otlp_json", "json"), ("application/x-protobuf", "application/json", "text/plain"),
    ),
    "flags": Door(
        (
            "/ofrep/v1/evaluate/flags/banner", "/ofrep/v1/evaluate/flags", "/flags/production/checkout/new-form/kill",
            "/flags/production/checkout/new-form/opt-out", "/flags/production/checkout/new-form/definition",
        ),
        ("/ofrep/v1/events", "/flags", "/flags/export", "/flags/production/checkout/new-form", "/health/live"),
        "a-token-of-the-tests", ("json", "context", "definition"), ("application/json", "text/plain"),
    ),
    "health": Door(("/health/ready",), ("/health/live", "/health/ready", "/x"), "none", ("json",), ("text/plain",)),
}  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """One connection's worth of bytes.

    Attributes:
        half: closes its half of the connection when all is sent, as scripts do.
    """

    kind: str
    pieces: list[Piece] = field(repr=False)
    half: bool = True


def attack(door: Door, seed: int) -> Attack:
    """Return the attack of this seed."""
    rng = random.Random(seed)
    kind = rng.choice(sorted(KINDS))
    return KINDS[kind](kind, door, rng)


def slow_attack(door: Door, seed: int) -> Attack:
    """Return one of those that take seconds: a client that trickles, or goes silent."""
    rng = random.Random(seed)
    head = _head(rng, "POST", rng.choice(door.posts), _usual(door, rng) | {"content-length": "100"})
    whole = head + b"a" * 100
    cut = rng.choice([0, 1, 10, len(head) - 2, len(head), len(head) + 50])
    return Attack("slow", [(whole[:cut], 0.0), (b"", 30.0)], half=False)


def _usual(door: Door, rng: random.Random) -> dict[str, str]:
    headers = {"host": "127.0.0.1", "content-type": rng.choice(door.types)}
    if rng.random() < 0.8:
        headers["authorization"] = f"Bearer {door.token}"
    return headers


def _head(rng: random.Random, method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _posted(door: Door, rng: random.Random, body: bytes, path: str = "", **headers: str) -> bytes:
    given = {
        **_usual(door, rng),
        "content-length": str(len(body)),
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    return _head(rng, "POST", path or rng.choice(door.posts), given) + body


def _body(kind: str, door: Door, rng: random.Random) -> Attack:
    made: Body = BODIES[rng.choice(door.bodies)](rng)
    headers = {"content_type": made.type} if made.type and rng.random() < 0.9 else {}
    body = made.data
    if rng.random() < 0.1:
        body = gzip.compress(body)
        headers["content_encoding"] = "gzip"
    path = made.path if made.path in door.posts else ""
    return Attack(f"{kind}:{made.name}", [(_posted(door, rng, body, path, **headers), 0.0)])


def _gzip(kind: str, door: Door, rng: random.Random) -> Attack:
    member = gzip.compress(b"")
    bodies = [
        member * rng.choice([2, 65, 5000, 100_000]),
        gzip.compress(bytes(rng.choice([1, 20, 60]) << 20), 9),
        gzip.compress(b"a" * 1000)[: rng.randrange(1, 40)],
        member + rng.randbytes(50),
        zlib.compress(b"a" * 100),
        b"\x1f\x8b\x08" + rng.randbytes(100),
    ]
    coding = rng.choice(["gzip", "gzip", "gzip", "br", "deflate", "gzip, gzip", "identity", "x" * 500])
    return Attack(kind, [(_posted(door, rng, rng.choice(bodies), content_encoding=coding), 0.0)])


def _target(kind: str, door: Door, rng: random.Random) -> Attack:
    odd = ["%00", "%ff", "%c0%ae", "../" * 20, "%2e%2e/" * 10, "a" * 7000, "a" * 10_000, "a" * 1_000_000, ";", "?",
           "?types=" + "a*" * 2000, "?since=9999999d", "?since=" + "1" * 3000, "?limit=" + "9" * 4000, "?limit=-1",
           "?limit=%20", "?after=" + "9" * 17 + ".x.99999999999999", "?after=1." + "." * 2000, "?x=" + "&x=" * 3000,
           "?types=%ff%fe", "?rollout=%00", "?then=//evil", "?asked=" + "a" * 3000, "//", "/%2f", "#a", "?a=%",
           "?" + "[" * 3000, "?limit=1e9", "?limit=Infinity", "?limit=%D9%A3", "?since=2026-01-01T00:00:00%2B99:99"]  # fmt: skip
    path = rng.choice([*door.gets, "/static/"]) + rng.choice(odd)
    forms = [path, path, path, "http://evil" + path, "*", "evil:443", path.replace("/", "\\"), "\xe4" + path]
    method = rng.choice(["GET", "GET", "GET", "HEAD", "OPTIONS", "DELETE", "PUT", "TRACE", "CONNECT", "PATCH", "PURGE"])
    return Attack(kind, [(_head(rng, method, rng.choice(forms), _usual(door, rng)), 0.0)])


def _headers(kind: str, door: Door, rng: random.Random) -> Attack:
    odd: list[bytes] = [
        b"a: " + b"b" * rng.choice([100, 30_000, 70_000, 300_000]) + b"\r\n",
        b"".join(b"h%d: x\r\n" % i for i in range(rng.choice([50, 99, 150, 20_000]))),
        b"cookie: " + b"penstock_session=a.b.c; " * rng.choice([1, 500]) + b"\r\n",
        b"cookie: penstock_session=" + b"0" * 32 + b".99999999999999999999999.00\r\n",
        b"authorization: Bearer " + rng.randbytes(30).hex().encode() * rng.choice([1, 200]) + b"\r\n",
        b"authorization: Bearer \xff\xfe\r\n",
        b"last-event-id: " + rng.choice([b"9" * 30, b"1.x.99999999999999", b"\xff", b"1.." + b"9" * 14]) + b"\r\n",
        b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-zz\r\n",
        b"idempotency-key: " + b"k" * rng.choice([1, 201, 5000]) + b"\r\n",
        b"if-none-match: " + b'W/"a",' * 3000 + b"\r\n",
        b"origin: " + b"x" * 5000 + b"\r\n",
        b"flagd-selector: " + b"a,b=" * 2000 + b"\r\n",
        b"expect: 100-continue\r\n", b"expect: 200-maybe\r\n", b"upgrade: websocket\r\nconnection: upgrade\r\n",
        b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        b"x-forwarded-for: 1.2.3.4\r\nforwarded: for=1.2.3.4\r\n", b"content-type: application/json\r\n" * 30,
        b"a\x00b: c\r\n", b"a: b\x00c\r\n", b"a: b\rc\r\n", b"a: b\nc: d\r\n", b" a: b\r\n", b"a : b\r\n", b": b\r\n",
        b"a: b\r\n folded\r\n", b"range: bytes=" + b"0-1," * 3000 + b"\r\n", b"accept: text/html" + b",a/b;q=0.1" * 2000 + b"\r\n",
        b"ce-id: \xff\r\nce-type: " + b"%FF" * 1000 + b"\r\nce-source: a\r\nce-specversion: 1.0\r\n",
    ]  # fmt: skip
    path = rng.choice([*door.gets, *door.posts])
    method = "GET" if path in door.gets and rng.random() < 0.7 else "POST"
    head = _head(rng, method, path, _usual(door, rng))[:-2]
    return Attack(kind, [(head + rng.choice(odd) + rng.choice([b"", rng.choice(odd)]) + b"\r\n", 0.0)])


def _framing(kind: str, door: Door, rng: random.Random) -> Attack:
    path = rng.choice(door.posts).encode()
    start = b"POST " + path + b" HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer " + door.token.encode() + b"\r\n"
    chunked = b"transfer-encoding: chunked\r\n"
    odd = [
        b"content-length: 5\r\n" + chunked + b"\r\n0\r\n\r\nGET /x HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef", b"content-length: -1\r\n\r\n", b"content-length: +5\r\n\r\nabcde",
        b"content-length: 0x10\r\n\r\n", b"content-length: 5 5\r\n\r\nabcde", b"content-length: " + b"9" * 40 + b"\r\n\r\n",
        b"content-length: 99999999999\r\n\r\n", b"content-length: 3\r\n\r\nabcdefgh", b"content-length: 50\r\n\r\nshort",
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n", b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        chunked + b"transfer-encoding: identity\r\n\r\n0\r\n\r\n", chunked + b"\r\nzz\r\n", chunked + b"\r\n-1\r\na\r\n0\r\n\r\n",
        chunked + b"\r\nffffffffffffffffff\r\na", chunked + b"\r\n7fffffff\r\na", chunked + b"\r\n1;" + b"x" * 100_000 + b"\r\na\r\n0\r\n\r\n",
        chunked + b"\r\n1\r\na\r\n0\r\n" + b"t: v\r\n" * 5000 + b"\r\n", chunked + b"\r\n" + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n",
        chunked + b"\r\n5\r\nabcdefgh\r\n0\r\n\r\n", chunked + b"\r\n3\nabc\n0\n\n",
    ]  # fmt: skip
    return Attack(kind, [(start + rng.choice(odd), 0.0)])


def _pipelined(kind: str, door: Door, rng: random.Random) -> Attack:
    count = rng.choice([2, 10, 63, 100, 2000])
    one = _head(rng, "GET", rng.choice(door.gets), _usual(door, rng))
    other = _posted(door, rng, b"{}")
    return Attack(kind, [(b"".join(rng.choice([one, other]) for _ in range(count)), 0.0)])


def _noise(kind: str, door: Door, rng: random.Random) -> Attack:
    odd = [
        rng.randbytes(rng.choice([1, 10, 1000, 100_000])), b"\x16\x03\x01\x02\x00\x01" + rng.randbytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(50), b"\r\n" * rng.choice([1, 5000]), b"", b"GET /\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/9.9\r\nhost: 127.0.0.1\r\n\r\n", b"get / http/1.1\r\n\r\n",
        b"GET  /  HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", b"GET / HTTP/1.1\nhost: 127.0.0.1\n\n", b"A" * 300_000, b"\x00" * 5000,
        b"SSH-2.0-x\r\n", b"*1\r\n$4\r\nPING\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    ]  # fmt: skip
    return Attack(kind, [(rng.choice(odd), 0.0)])


def _mutated(kind: str, door: Door, rng: random.Random) -> Attack:
    whole = bytearray(_posted(door, rng, json.dumps({"context": {"targetingKey": "a"}, "reason": "x"}).encode()))
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(whole))
        change = rng.randrange(3)
        if change == 0:
            whole[at] = rng.randrange(256)
        elif change == 1:
            del whole[at : at + rng.randrange(1, 20)]
        else:
            whole[at:at] = rng.randbytes(rng.randrange(1, 20))
        whole = whole or bytearray(b"G")
    return Attack(kind, [(bytes(whole), 0.0)])


def _pieces(kind: str, door: Door, rng: random.Random) -> Attack:
    whole = _body(kind, door, rng).pieces[0][0][:20_000]
    cuts = sorted(rng.randrange(len(whole)) for _ in range(rng.randrange(1, 12)))
    pieces = [(whole[a:b], 0.005) for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return Attack(kind, pieces)


def _gone(kind: str, door: Door, rng: random.Random) -> Attack:
    whole = _body(kind, door, rng).pieces[0][0]
    return Attack(kind, [(whole[: rng.randrange(len(whole))], 0.0)])


KINDS: dict[str, Callable[[str, Door, random.Random], Attack]] = {
    "body": _body, "body again": _body, "gzip": _gzip, "target": _target, "headers": _headers, "framing": _framing,
    "pipelined": _pipelined, "noise": _noise, "mutated": _mutated, "in pieces": _pieces, "cut short": _gone,
}  # fmt: skip
