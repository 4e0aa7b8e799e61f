"""What an instance serves that starts while Kafka is away: the last good flags, and what its peers have beyond them."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from penstock.chain import Document
from services.flag_control.fallback.kill_spool import KillSpool
from services.flag_control.fallback.last_good import SavedFlag, Stale
from services.flag_control.fallback.last_good_writer import LastGoodWriter
from services.flag_control.fallback.peer_flags import newer_flags
from services.flag_control.fallback.peers import Peers
from services.flag_control.publisher import Publisher
from services.runtime.process.service import Clock
from services.runtime.process.tasks import Tasks

ASK_SECONDS = 1.0

log = logging.getLogger(__name__)


class StartWithoutKafka:
    """From the start without Kafka until the log is followed.

    Attributes:
        stale: since when, and how new the newest is, while such flags are served.
    """

    def __init__(
        self,
        publisher: Publisher,
        peers: Peers,
        writer: LastGoodWriter,
        spool: KillSpool,
        clock: Clock,
    ) -> None:
        """Take where flags are published, the peers to ask, and what writes their flags and kills to disk."""
        self._publisher = publisher
        self._peers = peers
        self._writer = writer
        self._spool = spool
        self._clock = clock
        self._saved: dict[str, SavedFlag] = {}
        self._tasks = Tasks("flag_control, asking its peers,")
        self.stale: Stale | None = None

    async def serve(self, saved: Mapping[str, SavedFlag]) -> None:
        """Ask the peers, then serve what was served last with what they add, and go on asking."""
        self._saved = dict(saved)
        if not self._publisher.targets:
            self._publisher.serve_from({target: flag.document for target, flag in saved.items()})
        await self._ask()
        self._publish_saved()
        if self.stale is None and self._publisher.serves_given:
            log.warning("Kafka is away and there are no last good flags: nothing is served until it or a peer is there")
        self._tasks.spawn(self._keep_asking())

    def end(self) -> None:
        """Stop: from now on the log decides what is served."""
        if self.stale is not None:
            log.warning("the flag log is read: what is served follows it again")
            self.stale = None

    async def stop(self) -> None:
        """Stop asking."""
        await self._tasks.stop()

    def alive(self) -> bool:
        """Whether the task that asks the peers has not failed."""
        return self._tasks.alive()

    def _publish_saved(self) -> None:
        if not self._publisher.serves_given:
            return
        if not self._publisher.targets:
            self._publisher.publish(*self._saved)
        if self._publisher.targets:
            self.stale = Stale(self._clock(), self._newest())
            log.warning(
                "Kafka is away: serving %d flags as they were at %s, with every kill since; only kills are accepted",
                len(self._publisher.targets),
                self.stale.newest,
            )

    async def _keep_asking(self) -> None:
        while self._publisher.serves_given:
            await asyncio.sleep(ASK_SECONDS)
            await self._ask()
            if self.stale is None:
                self._publish_saved()

    async def _ask(self) -> None:
        shared = await self._peers.flags()
        if not self._publisher.serves_given:
            return
        known = self._publisher.ahead
        newer = newer_flags(self._documents(), known, shared)
        kills = [kill for kill in newer.kills if kill.id not in known]
        for kill in kills:
            self._publisher.put_ahead(kill)
        for flag in newer.flags.values():
            for event, offset in flag.events:
                self._publisher.put_ahead(event, offset)
        self._publisher.serve_newer({target: flag.document for target, flag in newer.flags.items()})
        self._saved |= newer.flags
        changed = sorted({*newer.flags, *(kill.target for kill in kills)})
        if not changed:
            return
        log.warning("peers have newer flags: %s", ", ".join(changed[:10]))
        if self.stale is not None:
            self.stale = replace(self.stale, newest=self._newest())
            self._publisher.publish(*changed)
        self._writer.changed(*newer.flags)
        for kill in kills:
            await self._spool.keep(kill)

    def _documents(self) -> dict[str, Document]:
        documents = {target: flag.document for target, flag in self._saved.items()}
        for target in self._publisher.targets:
            if (good := self._publisher.good(target)) is not None:
                documents[target] = good[0]
        return documents

    def _newest(self) -> str:
        return max((flag.at for flag in self._saved.values()), default="")
