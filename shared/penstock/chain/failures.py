"""Counts the inputs that this version fails on: one is skipped with its reason, too many stop the service."""

import traceback

from penstock.chain.record import Record
from penstock.errors import FaultyVersionError

FAULT = "Penstock failed on this input: "
"""Begins the reason of an input on which the code raised what it should not; everything else is the input's fault."""

UNSEALED = "not processed: "
"""Begins the reason of a record whose seal or type shows that no Penstock wrote it: no version is at fault."""

MOST = 100
_FRAMES = 3


def fault_of(error: Exception, code: str) -> str:
    """Return the reason of an input on which this code raised `error`, with the innermost frames."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = ", ".join(f"{_module(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{FAULT}{type(error).__name__}: {error} (version {code}, at {places})"


class Failures:
    """A leaky bucket over all partitions of a service: a failure adds one, a success removes one.

    So it fills where more than half of the inputs fail. Only failures of this code are counted: exceptions that it
    should not raise, and unreadable records of topics that Penstock itself writes.

    Args:
        code: the version that is running; failures on record count if the same version had them.
        most: failures that it holds; one more stops the service. 0: no limit.
        ours: topics that only Penstock writes, and whose records are read one by one.
    """

    def __init__(self, code: str, most: int = MOST, ours: frozenset[str] = frozenset()) -> None:
        self._code = code
        self._most = most
        self._ours = ours
        self._held: dict[tuple[str, int, int], None] = {}

    def count_success(self) -> None:
        """Count an input that was decided."""
        if self._held:
            self._held.pop(next(iter(self._held)))

    def count_failure(self, source: str, partition: int, offset: int, reason: str) -> None:
        """Count an input that failed; counting it again, after a resync, changes nothing.

        Raises:
            FaultyVersionError: that is one too many. The input is not to be skipped.
        """
        key = (source, partition, offset)
        if self._most and key not in self._held and len(self._held) >= self._most:
            raise FaultyVersionError(
                f"version {self._code} failed on {self._most} inputs more than it decided, now on {source}-{partition} "
                f"at offset {offset}, and stops before it skips this one: run another version, or raise "
                f"PENSTOCK_DEAD_LETTER_LIMIT. The last reason: {reason}"
            )
        self._held[key] = None

    def count_unreadable(self, source: str, partition: int, offset: int, reason: str) -> None:
        """Count a record that cannot be read, unless an outsider wrote it or may have.

        Raises:
            FaultyVersionError: as `count_failure`.
        """
        if source in self._ours and not reason.startswith(UNSEALED):
            self.count_failure(source, partition, offset, reason)

    def restore(self, record: Record, partition: int) -> None:
        """Count a record of the own log that is read again: after a restart the same version goes on counting."""
        if record.code != self._code or not record.inputs:
            return
        one = record.inputs[0]
        ours = one.source in self._ours and not record.error.startswith(UNSEALED)
        unreadable = ours and any("raw" in document for document in one.events)
        if record.error and (record.error.startswith(FAULT) or unreadable):
            self._held[(one.source, partition, one.offset)] = None
        elif not record.error:
            self.count_success()


def _module(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    known = [index for index, part in enumerate(parts) if part in {"services", "penstock"}]
    return "/".join(parts[known[-1] :] if known else parts[-2:])
