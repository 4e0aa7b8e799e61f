"""Hostile bodies: JSON, YAML, forms, protobuf and events that are deep, long, contradictory or nearly right."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.metrics.otlp import SECOND, Export, request, variant
from tests.support.plans import SHORT

_AT = 1_800_000_000 * SECOND


@dataclass(frozen=True)
class Body:
    """A body, the content type that it claims, and the path that it is meant for (any, where empty)."""

    name: str
    data: bytes
    type: str = "application/json"
    path: str = ""


def value(rng: random.Random, depth: int = 0) -> object:
    """Return a random JSON value, odd ones more often than not."""
    choice = rng.randrange(9 if depth < 5 else 6)
    if choice == 0:
        return rng.choice([None, True, False, 0, -1, 2**53 + 1, 2**64, 10**19, 1e308, -0.0, 1e-320])
    if choice in {1, 2}:
        odd = [
            "",
            "a",
            "\x00",
            "\ud800",
            "\u202e",
            "é" * 50,
            "🦊",
            "9999-12-31T23:59:59Z",
            "1m",
            "a" * 3000,
            "%",
            "../",
        ]
        return rng.choice(odd)
    if choice in {3, 4, 5}:
        return rng.randrange(-1000, 1000)
    if choice == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(5))]
    names = [
        "reason",
        "context",
        "targetingKey",
        "definition",
        "values",
        "expected",
        "variants",
        "",
        "$ref",
        "__proto__",
    ]
    return {rng.choice(names): value(rng, depth + 1) for _ in range(rng.randrange(6))}


def as_json(rng: random.Random) -> Body:
    """JSON that no decoder likes, or that all of them do."""
    size = rng.choice([10, 1000, 20_000, 200_000])
    odd = [
        b"[" * size, b'{"a":' * size, b"[" * 60 + b"]" * 60, b'{"a":' * 70 + b"1" + b"}" * 70, b"9" * size, b"1e" + b"9" * 100,
        b"NaN", b"[Infinity, -Infinity]", b'{"a": 1, "a": 2}', b'"\\ud800"', b'{"reason": "\\udc00\\ud800"}', b'"\xff\xfe"',
        b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"", b" " * size, b"nul", b'{"a":}', b"[1,]", b"{'a': 1}", b"// c\n{}",
        b'"' + b"\\u0041" * (size // 6) + b'"', b"[" + b"1," * (size // 2) + b"1]", b'{"reason": "' + b"a" * size + b'"}',
        b"{" + b",".join(b'"k%d":1' % i for i in range(size // 10)) + b"}", b"-", b"0123", b"1" + b"0" * 4400,
        b'{"reason": 5, "override": "x", "expected": {"sequence": -1, "stage": []}, "more": 1}', b"\x00" * size,
    ]  # fmt: skip
    if rng.random() < 0.4:
        return Body("json, any", json.dumps(value(rng)).encode(errors="surrogatepass"))
    return Body("json", rng.choice(odd))


def as_yaml(rng: random.Random) -> Body:
    """Plans to lint: bombs, depth, and plans with lines changed."""
    size = rng.choice([100, 5000, 100_000, 199_000])
    odd = [
        "[" * size, "{" * size, "- " * (size // 2), "? " * (size // 2), "a: &a [1,2]\nb: *a", "[,", "{a: " * (size // 4),
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]", "&a [*a]", "a: " + "9" * size, "!!python/object/apply:os.system [ls]",
        "!!set {a}", "version: 2001-13-45", "a: !!binary '" + "x" * size + "'", "a: 1:" + "59:" * (size // 3) + "1",
        "k: 1\n" * (size // 5), "\n".join(f"k{i}: 1" for i in range(size // 8)), "#\n" * (size // 2), "---\n" * (size // 4),
        "a: |\n" + " x\n" * (size // 3), '"' + "\\x41" * (size // 4) + '"', "\t", "%YAML 9.9\n---\n", "a: \x00", "x" * 300_000,
    ]  # fmt: skip
    path = "/api/plans/lint"
    if rng.random() < 0.5:
        return Body("yaml", rng.choice(odd).encode(), "application/yaml", path)
    lines: list[str] = [*SHORT.splitlines()]
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(lines))
        name, _, _ = lines[at].partition(":")
        lines[at] = rng.choice(
            [f"{name}: {json.dumps(value(rng))}", "", lines[at] * 2, name + ": " + "9" * 30, "  " + lines[at]]
        )
    return Body("plan", "\n".join(lines).encode(errors="replace"), "application/yaml", path)


def as_form(rng: random.Random) -> Body:
    """Forms of the dashboard."""
    odd = ["a=b&" * 5000, "csrf=%ff&reason=%00", "=&=&=", "&" * 10_000, "token=" + "a" * 15_000, "reason=" + "%E4" * 1000,
           "csrf=é", "key=" + "k" * 5000, "verb=promote&sequence=" + "9" * 5000, "then=//evil", "a" * 20_000, "\ud800"]  # fmt: skip
    return Body("form", rng.choice(odd).encode(errors="surrogatepass"), "application/x-www-form-urlencoded", "/login")


def as_event(rng: random.Random) -> Body:
    """CloudEvents and CDEvents of deploys."""
    context: dict[str, Any] = {"specversion": "0.5.1", "id": "a", "source": "/ci", "type": "dev.cdevents.service.deployed.0.3.0",
               "timestamp": "2026-03-02T14:00:00Z"}  # fmt: skip
    event: dict[str, Any] = {"context": context, "subject": {"id": "shop", "content": {"environment": {"id": "staging"}, "artifactId": "pkg:a/b@1"}},
             "customData": {"penstock": {"flag": "banner", "planText": "[" * 1000}}}  # fmt: skip
    place = rng.choice([context, event, event["subject"], event["customData"]])
    for _ in range(rng.randrange(1, 3)):
        if place:
            place[rng.choice(sorted(place))] = value(rng)
    document: object = event
    kind = rng.choice(["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"])
    if "batch" in kind:
        document = [event] * rng.choice([0, 1, 5, 200])
    return Body("event", json.dumps(document).encode(errors="surrogatepass"), kind, "/events")


def as_context(rng: random.Random) -> Body:
    """Evaluation contexts."""
    return Body("context", json.dumps({"context": value(rng)}).encode(errors="surrogatepass"))


def as_definition(rng: random.Random) -> Body:
    """Flag definitions with targeting rules that do not end."""
    rule: object = {"var": "a"}
    for _ in range(rng.choice([1, 30, 62, 90])):
        rule = {rng.choice(["if", "and", "sem_ver", "fractional", "in", "cat"]): [rule, rng.choice(["a", 1, 10**18])]}
    definition = {
        "state": "ENABLED",
        "variants": {"on": True, "off": value(rng)},
        "defaultVariant": "off",
        "targeting": rule,
    }
    body = {"reason": "x", "definition": rng.choice([definition, value(rng)])}
    path = "/flags/production/checkout/new-form/definition"
    return Body("definition", json.dumps(body).encode(errors="surrogatepass"), "application/json", path)


def as_protobuf(rng: random.Random) -> Body:
    """OTLP requests: right ones, changed ones, nested ones, noise."""
    export = Export(_AT, _AT - SECOND)
    for _ in range(rng.choice([1, 50])):
        export = export.histogram((1, 0, 0), variant("on"))
    good = bytearray(request(export).SerializeToString())
    for _ in range(rng.randrange(6)):
        good[rng.randrange(len(good))] = rng.randrange(256)
    deep = b"\x0a\x00"
    for _ in range(rng.choice([5, 90, 150, 3000])):
        length, size = len(deep), b""
        while length > 127:
            size += bytes([length & 127 | 128])
            length >>= 7
        deep = b"\x0a" + size + bytes([length]) + deep
    choices = [
        bytes(good),
        bytes(good) * rng.choice([1, 100]),
        deep,
        rng.randbytes(1000),
        b"\x0a" + b"\xff" * 9 + b"\x01",
        b"",
    ]
    return Body("protobuf", rng.choice(choices), "application/x-protobuf")


def as_otlp_json(rng: random.Random) -> Body:
    """OTLP in JSON, changed."""
    point = {"timeUnixNano": rng.choice(["1", "x", 10**30, -1]), "asDouble": rng.choice([1.5, "NaN", "Infinity", 1e308, "x"]),
             "attributes": [{"key": "a", "value": {"arrayValue": {"values": [{"intValue": "9" * 30}]}}}]}  # fmt: skip
    metric = {
        "name": "m",
        rng.choice(["sum", "gauge", "histogram"]): {"dataPoints": [point, value(rng)]},
        "x": value(rng),
    }
    document = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric] * rng.choice([1, 300])}]}]}
    return Body("otlp json", json.dumps(document).encode(errors="surrogatepass"))


BODIES: dict[str, Callable[[random.Random], Body]] = {
    "json": as_json, "yaml": as_yaml, "form": as_form, "event": as_event, "context": as_context,
    "definition": as_definition, "protobuf": as_protobuf, "otlp_json": as_otlp_json,
}  # fmt: skip
