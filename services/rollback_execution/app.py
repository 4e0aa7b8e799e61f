"""Rollback execution at work: the decider's shell, and the claims and POSTs that the accepted state asks for."""

import logging
from collections.abc import Iterable, Mapping

import penstock
from penstock.chain import Document, Record
from penstock.chain.failures import fault_of
from penstock.egress import Egress
from penstock.events import Saw
from penstock.settings import Settings
from penstock.subscribers import load_subscribers
from services.rollback_execution.decide import decide
from services.rollback_execution.errands import Errand, errand_of, report
from services.rollback_execution.posting import post
from services.rollback_execution.skipped_events import still_due
from services.rollback_execution.state import State, load
from services.runtime.decider.shell import DeciderShell, Spec
from services.runtime.process.service import Clock, Parked, Service
from services.runtime.process.tasks import Tasks

NAME = "rollback_execution"

log = logging.getLogger(__name__)


class RollbackExecution:
    """One copy. What it has to do follows from the accepted state, so a restart does it again, under the same ids."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.name = NAME
        self._executor = settings.instance
        self._clock = clock
        self._subscribers = load_subscribers(settings.subscribers)
        self._egress = Egress(allow_private=settings.allow_private_webhooks)
        self._errands: dict[str, Errand] = {}
        self._posts = Tasks(f"{NAME}, posting,")
        self._shell = DeciderShell(
            Spec(
                NAME,
                decide,
                plain=("flag-served",),
                chained=("rollout-log", "flag-log", "window-log"),
                accepted=self._on_accepted,
                restored=self._on_restored,
                still_due=still_due,
            ),
            settings,
            clock,
        )

    async def start(self) -> None:
        """Restore, take up what was under way, follow."""
        await self._shell.start()

    async def stop(self) -> None:
        """Stop; POSTs in hand are left to the next start, which repeats them."""
        await self._posts.stop()
        await self._shell.stop()
        await self._egress.close()

    def ready(self) -> bool:
        """Whether the log is folded."""
        return self._shell.ready()

    def alive(self) -> bool:
        """Whether its loops move."""
        return self._shell.alive() and self._posts.alive()

    def parked(self) -> Iterable[Parked]:
        """Return the targets that are held back."""
        return self._shell.parked()

    def _on_restored(self, documents: Mapping[str, Document]) -> None:
        for target, document in documents.items():
            try:
                self._run_errand(target, load(document))
            except Exception:
                # The others must go on; a record that is accepted for this target tries it again.
                log.exception("%s: what the restored state asks for is not done", target)

    def _on_accepted(self, target: str, _: Record, document: Document) -> None:
        self._run_errand(target, load(document))

    def _run_errand(self, target: str, state: State) -> None:
        errand = errand_of(state, self._executor)
        if errand is None:
            self._errands.pop(target, None)
            return
        if self._errands.get(target) == errand:
            return
        self._errands[target] = errand
        run = state.running
        assert run is not None
        if errand.what == "claim":
            self._shell.observe(report(target, run, self._executor, self._clock(), Saw.CLAIMED))
            return
        self._posts.spawn(self._post(target, state))

    async def _post(self, target: str, state: State) -> None:
        run = state.running
        assert run is not None
        try:
            saw, status, reason = await post(self._egress, self._subscribers, target, run, self._clock())
        except Exception as error:
            # The attempt counts as refused, so that the rollback calls a person; after a restart it would fail again.
            log.exception("%s: step %d of rollback %s", target, run.index, run.id)
            saw, status, reason = Saw.REFUSED, None, fault_of(error, penstock.__version__)
        if saw is not Saw.SUCCEEDED:
            log.warning("%s: step %d of rollback %s: %s", target, run.index, run.id, reason)
        self._shell.observe(report(target, run, self._executor, self._clock(), saw, status, reason))


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    return RollbackExecution(settings, clock)
