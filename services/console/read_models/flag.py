"""The read model of one flag, from events alone; a value that no event contains is unknown."""

from penstock.events import (
    EditRefused,
    Event,
    ExposureChanged,
    FlagArchived,
    FlagDefinition,
    FlagEdited,
    FlagKilled,
    FlagServed,
    FlagStale,
    KillLifted,
)
from services.console.read_models.entries import Entry

MOST_HISTORY = 200


class FlagBook:
    """What the events report of one flag.

    Attributes:
        version: newest reported, 0 before the first.
        exposure: share of the audience that is served the release, None before the first report.
        kills: those in force, by id.
        stale: the last report; None once its cause has changed.
        defined: the last definition that flag control published.
        served: the newest report of each instance.
        history: its changes and refusals, oldest first.
    """

    def __init__(self) -> None:
        self.version = 0
        self.exposure: float | None = None
        self.kills: dict[str, FlagKilled] = {}
        self.archived: FlagArchived | None = None
        self.stale: FlagStale | None = None
        self.defined: FlagDefinition | None = None
        self.served: dict[str, FlagServed] = {}
        self.history: list[Entry] = []

    @property
    def known(self) -> bool:
        """Whether flag control has published anything about it."""
        return bool(self.history)

    def fold(self, entry: Entry) -> None:
        """Fold one event of the flag's target."""
        event = entry.event
        if isinstance(event, FlagServed):
            known = self.served.get(event.instance)
            if known is None or event.version >= known.version:
                self.served[event.instance] = event
        elif entry.topic == "flag-changes":
            self.history = [*self.history[-(MOST_HISTORY - 1) :], entry]
            self._changed(event)

    def _changed(self, event: Event) -> None:
        match event:
            case ExposureChanged():
                self.exposure, self.stale = event.exposure, None
            case FlagKilled():
                self.kills[event.kill] = event
                self.exposure = 0.0
            case KillLifted():
                self.kills.pop(event.kill, None)
                self.exposure = event.exposure
            case FlagEdited():
                self.stale = None
            case FlagArchived():
                self.archived, self.stale = event, None
            case FlagStale():
                self.stale = event
            case _:
                pass
        if isinstance(event, ExposureChanged | FlagEdited | FlagArchived) and event.definition is not None:
            self.defined = event.definition
        if not isinstance(event, FlagStale | EditRefused):
            self.version = max(self.version, getattr(event, "version", 0))
