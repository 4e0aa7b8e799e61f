"""Folds the topic `deliveries`: what was delivered, what is pending, which subscribers are gone."""

from collections import OrderedDict
from datetime import datetime

from penstock.events import DeliveryFailed, DeliverySucceeded
from services.notification.job import Job, Key, job_of

GONE = 410
_MOST_REMEMBERED = 100_000


class Ledger:
    """Folds deliveries in any order between targets; within one target and event they come in order.

    Attributes:
        pending: what is left to do, by subscriber and event.
    """

    def __init__(self) -> None:
        self.pending: dict[Key, Job] = {}
        self._settled: OrderedDict[Key, None] = OrderedDict()
        self._gone: dict[tuple[str, str], tuple[datetime, bool]] = {}

    def record(self, delivery: DeliverySucceeded | DeliveryFailed) -> None:
        """Fold one record."""
        key = (delivery.subscriber, delivery.event)
        job = job_of(delivery) if isinstance(delivery, DeliveryFailed) else None
        if job is not None:
            self.pending[key] = job
        else:
            self.pending.pop(key, None)
            self._settled[key] = None
            if len(self._settled) > _MOST_REMEMBERED:
                self._settled.popitem(last=False)
        if delivery.endpoint is not None and delivery.status is not None:
            place = (delivery.subscriber, delivery.endpoint)
            known = self._gone.get(place)
            if known is None or known[0] <= delivery.time:
                self._gone[place] = (delivery.time, delivery.status == GONE)

    def knows(self, key: Key) -> bool:
        """Whether the first attempt of this delivery is on record: a repeated event is not delivered again."""
        return key in self.pending or key in self._settled

    def is_gone(self, subscriber: str, endpoint: str) -> bool:
        """Whether that address answered 410 last; a changed address starts fresh."""
        return self._gone.get((subscriber, endpoint), (None, False))[1]
