"""Writes ahead on one partition of a log: each record chains to the one before it, in flight or accepted.

Without I/O: the caller appends the bytes and reports the position that each append got.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from penstock.chain.fold import Accepted, Fold
from penstock.chain.record import digest

Origin = TypeVar("Origin")


@dataclass(frozen=True)
class Proposal(Generic[Origin]):
    """A record to append: its key (the target), its exact bytes and their digest, and what the writer made it from."""

    target: str
    value: bytes
    digest: str
    origin: Origin


class ChainWriter(Generic[Origin]):
    """The head to chain to, and the records in flight, in order.

    Attributes:
        fold: the accepted log; head: digest that the next record chains to.
    """

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self.head = fold.head
        self._flight: deque[Proposal[Origin]] = deque()

    @property
    def in_flight(self) -> int:
        """Records proposed and not yet accepted."""
        return len(self._flight)

    def propose(self, target: str, value: bytes, origin: Origin) -> Proposal[Origin]:
        """Put the bytes of a record that chains to `head` in flight; the next one chains to it."""
        proposal = Proposal(target, value, digest(value), origin)
        self.head = proposal.digest
        self._flight.append(proposal)
        return proposal

    def accept(self, offset: int, value: bytes) -> tuple[Accepted | None, Proposal[Origin] | None]:
        """Fold a record that the log has at `offset`.

        Returns:
            The record if it counts, and the proposal that it settles if it is the oldest in flight. Where only one of
            the two is given, what is in flight chains to a head that never was: resync.
        """
        accepted = self.fold.offer(offset, value)
        mine = self._flight[0] if self._flight and self._flight[0].digest == digest(value) else None
        if accepted is not None and mine is not None:
            self._flight.popleft()
        return accepted, mine

    def resync(self) -> None:
        """Forget what is in flight; the next record chains to the accepted head."""
        self._flight.clear()
        self.head = self.fold.head
