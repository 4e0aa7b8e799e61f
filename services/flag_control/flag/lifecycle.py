"""Tells when a flag is stale, by which rule, and when that is reported again."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from services.flag_control.flag.state import FlagState, Lifecycle

STALE = "stale"
"""Name of the timer."""

EXPIRES_AFTER_DAYS = {"release": 40, "experiment": 40, "operational": 90}
"""Days from creation, by type; kill switches and permissions are permanent."""

TYPES = ("release", "experiment", "operational", "kill-switch", "permission")
SETTLED_DAYS = 14
_AGAIN = timedelta(days=7)
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
"""Years of moments: days are added to them, and time zones, which must not leave the calendar."""

Rule = Literal["expired", "settled"]


def moment(text: str) -> datetime | None:
    """Return a day or moment in ISO 8601, in UTC; None where the text is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def expires_at(lifecycle: Lifecycle) -> datetime | None:
    """Return when the flag is past its time; None for permanent ones."""
    if lifecycle.permanent or lifecycle.type not in EXPIRES_AFTER_DAYS:
        return None
    created = moment(lifecycle.created)
    after = timedelta(days=EXPIRES_AFTER_DAYS[lifecycle.type])
    return moment(lifecycle.expires) or (created + after if created else None)


def stale_since(state: FlagState) -> list[tuple[datetime, Rule]]:
    """Return from when each rule calls the flag stale, the earliest first; in the future while it does not yet."""
    lifecycle = state.definition.lifecycle
    if state.archived or lifecycle.permanent:
        return []
    expired = expires_at(lifecycle)
    settled = moment(state.settled) if state.settled and lifecycle.type in EXPIRES_AFTER_DAYS else None
    found: list[tuple[datetime, Rule]] = []
    if expired is not None:
        found.append((expired, "expired"))
    if settled is not None:
        found.append((settled + timedelta(days=SETTLED_DAYS), "settled"))
    return sorted(found)


def stale_at(state: FlagState, now: datetime) -> tuple[datetime, Rule] | None:
    """Return since when, and by which rule, the flag is stale now."""
    found = stale_since(state)
    return found[0] if found and found[0][0] <= now else None


def armed(state: FlagState, now: datetime, reported: bool = False) -> FlagState:
    """Return the state with its timer: when it turns stale; if it is stale, `now` or a week after the report."""
    found = stale_since(state)
    if not found:
        timers = {name: due for name, due in state.timers.items() if name != STALE}
    else:
        due = now + _AGAIN if reported else _due(found[0][0], now, moment(state.timers.get(STALE, "")))
        timers = {**state.timers, STALE: due.isoformat()}
    return msgspec.structs.replace(state, timers=timers)


def _due(stale: datetime, now: datetime, known: datetime | None) -> datetime:
    if stale > now:
        return stale
    # Never in the past: each week since then would be reported at once. An edit does not report it again either.
    return known if known is not None and now < known <= now + _AGAIN else now
