"""What became of one simulated rollout."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """The window (0-based) that rolled it back, or None; and whether it was passed."""

    failed_at: int | None
    passed: bool
