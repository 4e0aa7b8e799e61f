"""One tree of errors: what went wrong, and by its branch, what delivery must do about it.

PenstockError
|-- TransientError            redeliver: the same input may succeed later
|   |-- UnavailableError      a broker, server or peer cannot be reached
|   |-- TooManyAttemptsError  wrong tokens from this address, or of this token: wait
|   `-- AppendError           a record's fate is unknown: fold the log, then decide again
|-- FaultyVersionError        stop: this version fails on too many inputs to skip them
`-- PermanentError            dead-letter the input and hold its target: retrying cannot help
    |-- InvalidError          input breaks the contract; carries every problem
    |   |-- OversizeError     a record larger than the brokers take
    |   |-- PlanError         a plan does not load
    |   `-- SettingsError     the environment does not load
    |-- RefusedError          a valid request that the present state does not allow
    |-- UnauthorizedError     no identity, or not the role it takes
    |-- NotFoundError         the named thing does not exist
    |-- EvidenceExpiredError  replay needs records that retention has removed
    `-- CorruptError          bytes that contradict the record: stop, never guess
"""

from collections.abc import Sequence
from dataclasses import dataclass


class PenstockError(Exception):
    """Root of the tree; its text says what, why and the next step."""


class TransientError(PenstockError):
    """The same input may succeed later."""


class UnavailableError(TransientError):
    """A broker, server or peer cannot be reached."""


class TooManyAttemptsError(TransientError):
    """Too many wrong attempts.

    Attributes:
        retry_after: seconds until the next one is looked at.
    """

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many attempts with wrong tokens; wait {retry_after} s")


class AppendError(TransientError):
    """Whether a record reached its log is unknown."""


class FaultyVersionError(PenstockError):
    """This version fails on so many inputs that skipping them would bury good ones."""


class PermanentError(PenstockError):
    """Retrying cannot help."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where (a path such as `stages.0.bake`), what, and its line if it has one."""

    where: str
    what: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        return f"{place}{self.where}: {self.what}" if self.where else f"{place}{self.what}"


class InvalidError(PermanentError):
    """Input that breaks the contract.

    Attributes:
        problems: every problem found, in the order of the input.
    """

    def __init__(self, subject: str, problems: Sequence[Problem]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        listed = "".join(f"\n  {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"{subject}: {count} problem{'s' if count != 1 else ''}{listed}")


class OversizeError(InvalidError):
    """A record larger than the brokers take: sending it again cannot help."""


class PlanError(InvalidError):
    """A plan that does not load."""


class SettingsError(InvalidError):
    """Settings that do not load."""


class RefusedError(PermanentError):
    """A valid request that the present state does not allow."""


class UnauthorizedError(PermanentError):
    """No identity, or not the role it takes."""


class NotFoundError(PermanentError):
    """The named thing does not exist."""


class EvidenceExpiredError(PermanentError):
    """Replay needs records that retention has removed."""


class CorruptError(PermanentError):
    """Bytes that contradict the record."""
