"""Templates, filters and static files: shared by every page of the dashboard."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from penstock.events import GateVerdict
from penstock.wording import deciding, outlooks
from services.console.read_models.entries import Wanted
from services.console.wording import words
from services.console.wording.differences import difference_of

_UNIT = re.compile(r"(?<=\d) (?=(?:%|pp|ms|s|min|h)(?!\w))")
_HERE = Path(__file__).parent.parent

SHAPES = {
    "completed": "healthy",
    "passed": "healthy",
    "baking": "running",
    "soaking": "running",
    "announced": "running",
    "inconclusive": "running",
    "current": "running",
    "held": "attention",
    "awaiting_approval": "attention",
    "awaiting approval": "attention",
    "no_data": "attention",
    "advice": "attention",
    "rolling_back": "failed",
    "rolled_back": "failed",
    "breach": "failed",
    "failed": "failed",
}
"""What a phase, word or stage state is drawn as; everything else is neutral."""


@dataclass(frozen=True)
class Page:
    """A page: its template, and which elements of it are kept live by which template part.

    Attributes:
        wanted: only these events change it.
    """

    template: str
    title: str
    parts: Mapping[str, str]
    context: Mapping[str, Any]
    wanted: Wanted = field(default_factory=Wanted)


class Site:
    """Renders pages."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "percent": words.percent,
            "seconds": words.seconds,
            "clock": clock,
            "stamp": stamp,
            "iso": iso,
            "plain": plain,
            "tight": tight,
            "shape": lambda name: SHAPES.get(str(name), "neutral"),
        }
        self._environment.globals |= {"static": _static_url, "gate_words": gate_words}
        for name in self._environment.list_templates():
            # A broken template fails at the start, and all templates are loaded before any file can change.
            self._environment.get_template(name)

    def page(self, page: Page, common: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """Return the whole page."""
        text = self._environment.get_template(page.template).render({**common, **page.context, "title": page.title})
        return HTMLResponse(text, status, headers={"cache-control": "no-store"})

    def parts(self, page: Page, common: Mapping[str, Any]) -> dict[str, str]:
        """Return the HTML inside each live element."""
        context = {**common, **page.context, "title": page.title}
        return {
            element: self._environment.get_template(template).render(context)
            for element, template in page.parts.items()
        }


def static_files() -> Mount:
    """Return the route of style sheet, script and icon."""
    return Mount("/static", StaticFiles(directory=_HERE / "static"))


def clock(moment: datetime | str | None) -> str:
    """Return `14:06:31` in UTC."""
    return _parsed(moment).strftime("%H:%M:%S") if moment is not None else "–"


def stamp(moment: datetime | str | None) -> str:
    """Return `2026-03-02 14:06:31 UTC`."""
    return _parsed(moment).strftime("%Y-%m-%d %H:%M:%S UTC") if moment is not None else "–"


def iso(moment: datetime | str | None) -> str:
    """Return RFC 3339 with a `Z`."""
    if moment is None:
        return ""
    return _parsed(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(name: object) -> str:
    """Return a code as words: `awaiting_approval` is `awaiting approval`."""
    return str(name).replace("_", " ")


def tight(text: str) -> str:
    """Return the text with numbers kept beside their units when lines break."""
    return _UNIT.sub("\u00a0", text)


def gate_words(gate: GateVerdict) -> dict[str, str]:
    """Return a gate's cells of the table."""
    difference = difference_of(gate)
    found = gate.model_dump(mode="json", exclude_none=True)
    return {
        "canary": words.value_of(gate, "canary"),
        "baseline": words.value_of(gate, "baseline"),
        "difference": difference.words(difference.estimate),
        "fails": deciding.fails_clause(found) or f"limit {difference.limit_words}",
        "passes": deciding.passes_clause(found) or "–",
        "outlook": outlooks.outlook(found),
        "band": difference.band,
        "limit": difference.limit_words,
        "clause": words.clause(gate),
    }


@cache
def _static_url(name: str) -> str:
    digest = hashlib.sha256((_HERE / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def _parsed(moment: datetime | str) -> datetime:
    return (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).astimezone(UTC)
