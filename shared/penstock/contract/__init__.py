"""Everything that derives from the contract: `python -m penstock.contract` writes it, a test compares it."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from penstock.contract import asyncapi
from penstock.events import ADAPTER

ROOT = Path(__file__).parents[3]
"""The tree that this package is run from."""


_DERIVED = "# Derived by `python -m penstock.contract`; change the events or topics instead.\n"


class _Plain(yaml.SafeDumper):
    """YAML without anchors: people read it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def events_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of every event in the form of `penstock.events.to_json`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ADAPTER.json_schema()}


def documents() -> dict[str, str]:
    """Return every derived document: its path in the tree, and its text."""
    whole = asyncapi.document(version("penstock"))
    return {
        "shared/penstock/events/schema.json": json.dumps(events_schema(), indent=1, ensure_ascii=False) + "\n",
        "docs/contract/asyncapi.yaml": _DERIVED
        + yaml.dump(whole, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120),
    }


def write(root: Path = ROOT) -> list[Path]:
    """Write the documents that differ below `root`; return their paths."""
    written = []
    for place, text in documents().items():
        path = root / place
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            written.append(path)
    return written
