"""Operations of the write endpoint: kills are in force before they are recorded, requests return their outcome."""

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from penstock import ids
from penstock.chain import Document
from penstock.errors import NotFoundError, UnavailableError
from penstock.events import FlagRequest, KillRequested, from_json
from penstock.tokens import Identity
from services.flag_control.fallback.kill_spool import KillSpool
from services.flag_control.fallback.last_good import Stale, saved_flag
from services.flag_control.fallback.peer_flags import encoded
from services.flag_control.fallback.peers import Peers
from services.flag_control.flag.change import SOURCE, effective_exposure
from services.flag_control.flag.lifecycle import expires_at, stale_at
from services.flag_control.flag.state import FlagState, dump
from services.flag_control.publisher import Publisher
from services.flag_control.served_reports import Count, ServedReports
from services.flag_control.serving.store import EVERYTHING, FlagStore
from services.flag_control.serving.usage import Usage
from services.runtime.process.service import Clock

_RECORD_SECONDS = 0.5
_ANSWER_SECONDS = 3.0
_STREAMS_SECONDS = 0.25
_LOOKS = 10
_PEER_PUBLISHES_SECONDS = 5.0
"""For the instance that was asked to publish a kill, before its peers, which have it too, do."""

View = dict[str, Any]


class Decider(Protocol):
    """The flag log, as far as requests are concerned."""

    def ready(self) -> bool:
        """Whether requests are decided."""
        ...


class Requests(Protocol):
    """The way of a request into the log."""

    def submit(self, request: FlagRequest, after: float = 0.0) -> None:
        """Publish a request after so many seconds, unless the log has it by then; returns at once."""
        ...


class Fallback(Protocol):
    """What is served while Kafka is away."""

    @property
    def stale(self) -> Stale | None:
        """Since when, and how new, the flags from disk are that are served now; None where the log is followed."""
        ...


class FlagOperations:
    """The write endpoint's side of the service."""

    def __init__(
        self,
        store: FlagStore,
        publisher: Publisher,
        spool: KillSpool,
        peers: Peers,
        reports: ServedReports,
        usage: Usage,
        requests: Requests,
        decider: Decider,
        fallback: Fallback,
        clock: Clock,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._spool = spool
        self._peers = peers
        self._reports = reports
        self._usage = usage
        self._requests = requests
        self._decider = decider
        self._clock = clock
        self._waiting: dict[str, asyncio.Future[tuple[Document, ...]]] = {}
        self._fallback = fallback

    def staleness(self) -> View | None:
        """Return since when, and why, what is served may be behind the log; None while it follows it."""
        stale = self._fallback.stale
        return stale.view if stale is not None else None

    def flags(self) -> list[View]:
        """Return every flag, briefly."""
        return [self._brief(target, self._publisher.state(target)) for target in sorted(self._publisher.targets)]

    def export(self, name: str) -> View:
        """Return what clients of that set are served, of all sets without a name, as flagd JSON.

        Raises:
            NotFoundError: there is no such set.
        """
        flag_set = self._store.get(f"flagSetId={name}" if name else EVERYTHING)
        if flag_set is None:
            raise NotFoundError(f"there is no flag set {name!r}; sets are named environment/service")
        return {"flags": dict(flag_set.flags)}

    def shared(self) -> bytes:
        """Return the flags as they are saved, and the kills ahead of the log, for a peer that started without Kafka."""
        found = []
        for target in self._publisher.targets:
            if (good := self._publisher.good(target)) is not None:
                state = self._publisher.state(target)
                latest = state.history.get(str(state.version))
                found.append(saved_flag(target, *good, latest.at if latest else ""))
        return encoded(found, self._publisher.kills_ahead)

    def flag(self, target: str) -> View:
        """Return one flag with its definition and history.

        Raises:
            NotFoundError: there is no such flag.
        """
        state = self._known(target)
        document = dump(state)
        history = sorted(document.get("history", {}).values(), key=lambda revision: -revision["version"])
        count = self._reports.count(target, state.version)
        return {
            **self._brief(target, state),
            "definition": document.get("definition", {}),
            "opted_out": document.get("opted_out", {}),
            "kills": document.get("kills", []),
            "waiting_for_log": list(self._publisher.waiting(target)),
            "history": history,
            "streams": {"connected": count.streams, "served": count.served},
        }

    def request(self, kind: str, target: str, actor: Identity, key: str | None, fields: View) -> FlagRequest:
        """Return the request as an event; its id derives from the caller's key, or from the moment."""
        now = self._clock()
        event = from_json(
            {
                **fields,
                "type": kind,
                "id": ids.derive(kind, target, actor.identity, key or now.isoformat()),
                "source": SOURCE,
                "target": target,
                "time": now.isoformat(),
                "actor": actor.identity,
                "roles": list(actor.roles),
            }
        )
        assert isinstance(event, FlagRequest)
        return event

    async def kill(self, kill: KillRequested, authorization: str, peer: bool) -> View:
        """Put a kill in force here, send it to the peers, and report where it is in force; the record follows.

        Before the log is restored, a kill of any flag is accepted: it is in force as soon as that flag is served.

        Raises:
            NotFoundError: there is no such flag.
        """
        if self._decider.ready():
            self._known(kill.target)
        recorded, on_disk = None, True
        if kill.id not in self._publisher.recorded(kill.target):
            # In force first: no disk may keep a flag on. On disk before the peers and the log have it.
            self._publisher.lower(kill)
            on_disk = await self._spool.keep(kill)
            recorded = self._wait_for(kill.id)
            if self._decider.ready():
                self._requests.submit(kill, _PEER_PUBLISHES_SECONDS if peer else 0.0)
        reached = None if peer else await self._peers.kill(kill, authorization)
        # A kill asked for again, under the same key, may have been lifted since.
        in_force = kill.id in {known.id for known in self._publisher.state(kill.target).kills}
        waits = not self._decider.ready() and not self._publisher.knows(kill.target)
        answer: View = {"kill": kill.id, "target": kill.target, "in_force": in_force or waits, "on_disk": on_disk}
        if reached is not None:
            answer |= {
                "instances": {
                    "killed": 1 + reached.reached,
                    "of": 1 + reached.peers,
                    "unreached": list(reached.unreached),
                },
                "recorded": recorded is None or await _within(recorded, _RECORD_SECONDS) is not None,
            }
        count = await self._reached(kill.target)
        return answer | {"streams": {"connected": count.streams, "served": count.served}}

    async def ask(self, request: FlagRequest) -> tuple[int, View]:
        """Publish a request and wait for its decision.

        Returns 200 with the facts, 409 where it is refused, 202 where the decision takes long.

        Raises:
            UnavailableError: the log is not there to decide in.
        """
        if not self._decider.ready():
            raise UnavailableError("flag control is not connected to its log; only kills are accepted. Try again later")
        future = self._wait_for(request.id)
        self._requests.submit(request)
        facts = await _within(future, _ANSWER_SECONDS)
        if facts is None:
            return 202, {"request": request.id, "see": f"/flags/{request.target}"}
        refused = [fact for fact in facts if fact["type"] == "edit.refused"]
        if refused:
            answer = {"error": refused[0]["detail"], "reason": refused[0]["reason"], "request": request.id}
            return 409, {**answer, "state": _rule_of(self._publisher.state(request.target))}
        return 200, {"request": request.id, "events": list(facts)}

    def answer(self, decided: Iterable[str], facts: Iterable[Document]) -> None:
        """Answer those who wait for one of these requests with the facts that were decided."""
        for request in decided:
            future = self._waiting.pop(request, None)
            if future is not None and not future.done():
                future.set_result(tuple(facts))

    async def _reached(self, target: str) -> Count:
        """Return how many streams were sent the flag as it is now; gives them a moment, not more."""
        version, count = self._publisher.state(target).version, Count(0, 0)
        for _ in range(_LOOKS):
            count = self._reports.count(target, version)
            if count.served >= count.streams:
                break
            await asyncio.sleep(_STREAMS_SECONDS / _LOOKS)
        return count

    def _wait_for(self, request: str) -> "asyncio.Future[tuple[Document, ...]]":
        future: asyncio.Future[tuple[Document, ...]] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        future.add_done_callback(lambda _: self._waiting.pop(request, None))
        return future

    def _known(self, target: str) -> FlagState:
        if not self._publisher.knows(target):
            raise NotFoundError(f"there is no flag {target}; see `penstock flags list`")
        return self._publisher.state(target)

    def _brief(self, target: str, state: FlagState) -> View:
        lifecycle = state.definition.lifecycle
        now = self._clock()
        stale = stale_at(state, now)
        expires = expires_at(lifecycle)
        last = self._usage.last.get(target)
        return {
            "target": target,
            "version": state.version,
            "revision": state.revision,
            "exposure": effective_exposure(state),
            "rollout": state.reach.rollout or None,
            "live": state.live,
            "killed": [kill.id for kill in state.kills],
            "archived": state.archived or None,
            "lifecycle": dump_lifecycle(lifecycle),
            "expires": expires.isoformat() if expires else None,
            "stale": {"rule": stale[1], "since": stale[0].isoformat()} if stale else None,
            "evaluations": {
                "ofrep": self._usage.evaluations.get(target, 0),
                "last": last,
                "in_process": "unknown: in-process clients do not report their evaluations",
            },
        }


def _rule_of(state: FlagState) -> View:
    """Return what decides now who is served which variant, for those who are refused a change of it."""
    return {
        "version": state.version,
        "rollout": state.reach.rollout or None,
        "live": state.live,
        "rolled_back": state.rolled_back,
        "exposure": effective_exposure(state),
        "serves": state.archived or state.definition.off,
    }


def dump_lifecycle(lifecycle: Any) -> View:
    """Return the lifecycle with every field."""
    return {name: getattr(lifecycle, name) for name in lifecycle.__struct_fields__}


async def _within(future: "asyncio.Future[tuple[Document, ...]]", seconds: float) -> tuple[Document, ...] | None:
    try:
        return await asyncio.wait_for(future, seconds)
    except TimeoutError:
        return None
