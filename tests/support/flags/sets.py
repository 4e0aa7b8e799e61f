"""Flag sets for tests, and flag control's servers without Kafka."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.flag_control.standalone.server import Options, Served, serving

Document = dict[str, Any]


def boolean(**changes: Any) -> Document:
    """Return a valid flag: on for `beta` users, else off."""
    flag = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "targeting": {"if": [{"==": [{"var": "group"}, "beta"]}, "on", "off"]},
    }
    return {name: value for name, value in {**flag, **changes}.items() if value is not None}


EVERY_KIND: Document = {
    "flags": {
        "bool": boolean(),
        "string": {"state": "ENABLED", "variants": {"a": "A", "b": "B"}, "defaultVariant": "a"},
        "int": {"state": "ENABLED", "variants": {"one": 1, "zero": 0}, "defaultVariant": "zero"},
        "float": {"state": "ENABLED", "variants": {"whole": 10.0, "zero": 0.0}, "defaultVariant": "whole"},
        "mixed-number": {"state": "ENABLED", "variants": {"whole": 3, "part": 0.5}, "defaultVariant": "whole"},
        "object": {"state": "ENABLED", "variants": {"full": {"a": [1, 2.5]}, "empty": {}}, "defaultVariant": "full"},
        "list": {"state": "ENABLED", "variants": {"some": [1, 2]}, "defaultVariant": "some"},
        "disabled": boolean(state="DISABLED"),
        "no-default": {"state": "ENABLED", "variants": {"on": True, "off": False}},
        "team/with.dots_and-dashes": boolean(targeting=None, metadata={"owner": "team-a", "set": "own"}),
        "starts": boolean(targeting={"if": [{"starts_with": [{"var": "email"}, "ann@"]}, "on", "off"]}),
        "ends": boolean(targeting={"if": [{"ends_with": [{"var": "email"}, "@example.com"]}, "on", "off"]}),
        "version": boolean(targeting={"if": [{"sem_ver": [{"var": "app"}, ">=", "2.1.0"]}, "on", "off"]}),
        "split": boolean(
            targeting={"fractional": [{"cat": ["salt", {"var": "targetingKey"}]}, ["on", 30], ["off", 70]]}
        ),
        "short-split": boolean(targeting={"fractional": [["on", 1], ["off", 1]]}),
        "key": boolean(targeting={"if": [{"==": [{"var": "$flagd.flagKey"}, "key"]}, "on", "off"]}),
        "timed": boolean(targeting={"if": [{">": [{"var": "$flagd.timestamp"}, 1000]}, "on", "off"]}),
        "falls-back": boolean(targeting={"if": [{"==": [{"var": "group"}, "beta"]}, "on"]}),
        "tenant": boolean(targeting={"if": [{"==": [{"var": "tenant"}, "acme"]}, "on", "off"]}),
        "nested": boolean(targeting={"if": [{"in": ["x", {"var": "account.tags"}]}, "on", "off"]}),
    },
    "metadata": {"set": "shared", "flagSetId": "everything"},
}
"""A valid set with every kind of value and operator."""

CONTEXTS: tuple[Document, ...] = (
    {},
    {"targetingKey": "user-1"},
    {"targetingKey": "user-2", "group": "beta", "email": "ann@example.com", "app": "2.2.0"},
    {"targetingKey": "user-3", "email": "bob@example.org", "app": "1.0", "account": {"tags": ["x", "y"]}},
    {"targetingKey": "üser-4", "app": "v2.1.0-rc.1", "group": 3, "email": 7},
)
"""Evaluation contexts that reach every branch."""


def written(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a set to a file."""
    path.write_text(json.dumps(document))
    return path


@asynccontextmanager
async def serving_files(*paths: Path, **options: Any) -> AsyncIterator[Served]:
    """Serve the files on free ports; what is said goes to `options['said']` if given."""
    said: list[str] = options.pop("said", [])
    ports = {"ofrep_port": 0, "sync_port": 0}
    async with serving(Options(paths, **{**ports, **options}), said.append) as served:
        yield served
