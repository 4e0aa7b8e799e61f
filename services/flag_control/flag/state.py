"""The state of a flag between two inputs; what clients are served is a function of it."""

from typing import Any, Literal

import msgspec

from penstock.chain import Document, digest_of

_MOST_REMEMBERED = 100
_MOST_VERSIONS = 50
_MOST_EDITS = 200
_MOST_CLOSED_KILLS = 1000
"""A copy that was down for months may replay a kill from its disk. One that is older than so many kills of its flag is
in force once more, which is the safe side, until a person lifts it."""


class Slice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A share of all users, by a salt that several flags name: disjoint slices make them mutually exclusive.

    `start` and `end` count hundred-thousandths, 0 to 100,000.
    """

    salt: str
    start: int
    end: int


class Lifecycle(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why the flag is there and when it should go; dates are ISO 8601 days or moments."""

    owner: str = ""
    type: str = "release"
    created: str = ""
    expires: str = ""
    permanent: bool = False
    ticket: str = ""
    notes: str = ""


class Definition(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A flag as its team defines it; rollouts, opt-outs and kills are applied on top.

    Attributes:
        variants: value by name; off: the variant of the baseline; on: of the release.
        split: weight by variant among the exposed, for experiments; empty: all of them get `on`.
        salt: of the ramp; empty for the flag's own. Flags that share one expose the same users first.
        slice: only these users are in the flag's reach at all.
        segments: lists of conditions in the plan's form, by name.
        pins: variant by segment: users who meet all its conditions get that variant at any exposure.
        targeting: what an imported flag is served by until a rollout first takes it over; state: likewise.
        metadata: scalars served with it; lenient: rules may fail evaluations, as foreign sets' do.
        lifecycle: owner, type, expiry and the like.
    """

    variants: dict[str, Any] = msgspec.field(default_factory=lambda: {"on": True, "off": False})
    off: str = "off"
    on: str = "on"
    split: dict[str, int] = {}
    salt: str = ""
    slice: Slice | None = None
    segments: dict[str, list[Document]] = {}
    pins: dict[str, str] = {}
    targeting: Document = {}
    state: Literal["ENABLED", "DISABLED"] = "ENABLED"
    metadata: dict[str, Any] = {}
    lenient: bool = False
    lifecycle: Lifecycle = Lifecycle()


class Reach(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom the rollout exposes.

    Attributes:
        exposure: share of the audience, 0 to 1; audience: the plan's conditions, all of which must match.
        entry: id of the decision behind it; rollout: its rollout.
        released: the rollout is complete: everyone has the release.
    """

    exposure: float = 0.0
    audience: Document = {}
    entry: str = ""
    rollout: str = ""
    released: bool = False


class Kill(msgspec.Struct, frozen=True, omit_defaults=True):
    """Overrides everything else; only the request that names its id lifts it."""

    id: str
    actor: str
    reason: str
    at: str


class Revision(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of the flag as it was defined and served, and who made it so."""

    version: int
    revision: str
    at: str
    why: str
    actor: str = ""
    definition: Definition = Definition()
    opted_out: dict[str, tuple[str, ...]] = {}

    @property
    def content(self) -> bytes:
        """What going back to it brings back, as JSON: to Python, 1 == 1.0 == True."""
        return msgspec.json.encode((self.definition, self.opted_out))


class FlagState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A flag.

    Attributes:
        version: rising with every change of the flag, whether clients are served another or not (it is in what they
            are served); revision: content hash of what they are.
        opted_out: values by attribute that are never exposed.
        kills: ids of the kills in force; the flag is off while there is one.
        archived: the variant served for good; empty while the flag lives. archived_under: the rollout that had it then.
        live: a rollout is under way; release: the version that the last one brought.
        requests: ids of the latest requests, granted or refused.
        closed_kills: when each kill that is no longer in force was lifted or refused, RFC 3339, by id.
        history: the latest versions by number, and of the older ones those that changed the definition or opt-outs.
        settled: since when everyone gets one variant without a rollout under way; empty otherwise.
        timers: due times, RFC 3339, by name.
        decided: how many events were decided for the flag, since versions count them; their ids differ by it.
    """

    version: int = 0
    revision: str = ""
    definition: Definition = Definition()
    reach: Reach = Reach()
    live: bool = False
    release: str = ""
    opted_out: dict[str, tuple[str, ...]] = {}
    kills: tuple[Kill, ...] = ()
    archived: str = ""
    archived_under: str = ""
    requests: tuple[str, ...] = ()
    closed_kills: dict[str, str] = {}
    history: dict[str, Revision] = {}
    settled: str = ""
    timers: dict[str, str] = {}
    decided: int = 0

    @property
    def rolled_back(self) -> bool:
        """Whether the last rollout was rolled back or superseded, and no newer rollout has the flag."""
        reach = self.reach
        withdrawn = bool(reach.entry) and not (self.live or reach.released) and reach.exposure <= 0
        # A rollout that came after the archive never had the flag.
        return withdrawn and (not self.archived or self.archived_under == reach.rollout != "")

    @property
    def ruled(self) -> bool:
        """Whether a rollout decides who is served what, or one did and was rolled back."""
        return self.live or self.rolled_back

    @property
    def decided_requests(self) -> frozenset[str]:
        """Ids of the requests that are not decided again: the latest, and every kill that could be replayed."""
        return frozenset((*self.requests, *self.closed_kills, *(kill.id for kill in self.kills)))

    def with_closed_kill(self, kill: str, at: str) -> "FlagState":
        """Return the state that remembers a kill that was lifted or refused."""
        closed = {**self.closed_kills, kill: at}
        if len(closed) > _MOST_CLOSED_KILLS:
            del closed[min(closed, key=lambda known: (closed[known], known))]
        return msgspec.structs.replace(self, closed_kills=closed)

    def with_request(self, request: str) -> "FlagState":
        """Return the state that remembers a request."""
        return msgspec.structs.replace(self, requests=(*self.requests[-(_MOST_REMEMBERED - 1) :], request))

    def with_revision(self, revision: Revision) -> "FlagState":
        """Return the state at a new version; of old ones, those are forgotten that only changed the exposure."""
        history = {**self.history, str(revision.version): revision}
        old = str(revision.version - _MOST_VERSIONS)
        before = self.as_of(revision.version - _MOST_VERSIONS - 1)
        if old in history and before is not None and before.content == history[old].content:
            del history[old]
        if len(history) > _MOST_VERSIONS + _MOST_EDITS:
            del history[min(history, key=int)]
        return msgspec.structs.replace(self, version=revision.version, revision=revision.revision, history=history)

    def as_of(self, version: int) -> Revision | None:
        """Return the revision that defined the flag at a version, None where that is forgotten."""
        known = [number for number in map(int, self.history) if number <= version]
        return self.history[str(max(known))] if known else None


def load(document: Document) -> FlagState:
    """Return the state of a document."""
    return msgspec.convert(document, FlagState)


def dump(state: FlagState) -> Document:
    """Return the document of a state."""
    document: Document = msgspec.to_builtins(state)
    return document


def content_hash(flag: Document) -> str:
    """Return the revision of one flag's document: 32 hex digits."""
    return digest_of(flag)[:32]
