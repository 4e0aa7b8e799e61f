"""Counters of a rollout, in windows."""

from dataclasses import dataclass, field
from typing import Any

from services.gate_evaluation.judge.decision.rule import Bake


@dataclass(slots=True)
class Progress:
    """Counters of a rollout, all in windows.

    Attributes:
        observed: seen; judged: counted as evidence; stage_judged: every binding gate measured, in this stage.
        min_bake, max_bake: of this stage.
        missing: by gate, consecutive windows without data.
        samples: by gate, canary totals in this stage.
        breach: reason of a breach that has happened; it stands.
        must_pass: gates without which this stage does not pass; None: all. The others only guard.
        predictions: by gate name, the last prediction of its outcome in this stage.
    """

    observed: int
    judged: int
    stage_judged: int
    min_bake: int
    max_bake: int
    missing: list[int]
    samples: list[float]
    breach: str | None = None
    must_pass: tuple[str, ...] | None = None
    predictions: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def from_doc(cls, doc: dict[str, Any]) -> "Progress":
        """Continue from the JSON form of `dataclasses.asdict`."""
        must_pass = doc.get("must_pass")
        return cls(**{**doc, "must_pass": tuple(must_pass) if must_pass is not None else None})

    def bake(self, *, last: bool = False) -> Bake:
        """Return the bake of this stage; with `last`, it ends now, whatever it was to be."""
        if last:
            return Bake(self.stage_judged, min(self.min_bake, self.stage_judged), self.stage_judged)
        return Bake(self.stage_judged, self.min_bake, self.max_bake)

    def binds(self, gate: str) -> bool:
        """Return whether this stage does not pass without a gate."""
        return self.must_pass is None or gate in self.must_pass
