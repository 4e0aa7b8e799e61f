"""The protocol's runs: start, windows in order, end; the first verdict other than `continue` is final."""

import math
from collections.abc import Mapping
from typing import Any

from penstock.errors import InvalidError, Problem
from services.gate_evaluation.judge import History, Judge, JudgeSpec, WindowVerdict, Word
from tests.bench.protocol.parse import history_of, spec_of, whole, window_of

_CONTINUE = "continue"
_MOST_RUNS = 64

RunId = str | int


class Run:
    """One run: its judge, the newest window, the newest answer."""

    def __init__(self, run: RunId, start: Mapping[str, Any], *, details: bool) -> None:
        self._run, self._details = run, details
        self._spec: JudgeSpec = spec_of(start)
        history = History(self._spec.gates)
        for window in history_of(start, self._spec.gates):
            history.update(window)
        self._judge = Judge.start(self._spec, history, report=details)
        self._windows = whole(start, "max_windows", least=1)
        self._newest = -1
        self.answer: dict[str, Any] = {"run": run, "verdict": _CONTINUE, "flags": []}

    def window(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Take the next window; after a final verdict it changes nothing.

        Raises:
            InvalidError: it is not later than the one before, or beyond `max_windows`; it is not judged.
        """
        t = whole(message, "t", least=0)
        if not self._newest < t < self._windows:
            what = f"window {t} after window {self._newest} of {self._windows}: each comes once, in order"
            raise InvalidError("message", [Problem("t", what)])
        window = window_of(message, self._spec.gates)
        self._newest = t
        if self.answer["verdict"] == _CONTINUE:
            verdict = self._judge.observe(window, self._spec.splits[0], last=t == self._windows - 1)
            self.answer = self._render(verdict)
        return self.answer

    def _render(self, verdict: WindowVerdict) -> dict[str, Any]:
        word = _CONTINUE
        if verdict.word is Word.BREACH:
            word = "fail"
        elif verdict.final:
            word = "pass" if verdict.word is Word.PASSED else "inconclusive"
        flags = ["srm" if flag == "traffic_split" else flag for flag in verdict.flags]
        answer: dict[str, Any] = {"run": self._run, "verdict": word, "flags": flags, "reason": verdict.reason.value}
        answer["evidence"] = round(verdict.log10_f, 6)
        answer["blamed"] = list(verdict.blamed)
        if self._details:
            answer["gates"] = _finite(verdict.to_doc()["gates"])
        return answer


class Program:
    """The runs at hand; `feed` takes a message and returns the answer, or None for `start`."""

    def __init__(self, *, details: bool = False) -> None:
        self._details = details
        self._runs: dict[RunId, Run] = {}

    def feed(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take one message. What is refused leaves every run as it was, but a refused start begins none.

        Raises:
            InvalidError: a message out of turn, of unknown type, or one that cannot be read.
        """
        match message.get("type"):
            case "start":
                self._start(message)
                return None
            case "window":
                return self._of(message).window(message)
            case "end":
                return self._of(message).answer
            case other:
                raise InvalidError("message", [Problem("type", f"unknown type {other!r}")])

    def standing(self, message: Mapping[str, Any]) -> str:
        """Return the verdict that the run of a refused message has so far."""
        run = message.get("run")
        found = self._runs.get(run) if isinstance(run, (str, int)) else None
        return found.answer["verdict"] if found is not None else _CONTINUE

    def _start(self, message: Mapping[str, Any]) -> None:
        run = _id_of(message)
        # A run that begins anew has nothing of the one before, even where it cannot begin.
        self._runs.pop(run, None)
        self._runs[run] = Run(run, message, details=self._details)
        while len(self._runs) > _MOST_RUNS:
            del self._runs[next(iter(self._runs))]

    def _of(self, message: Mapping[str, Any]) -> Run:
        run = _id_of(message)
        if run not in self._runs:
            raise InvalidError("message", [Problem("run", f"run {run!r} was not started")])
        return self._runs[run]


def _id_of(message: Mapping[str, Any]) -> RunId:
    run = message.get("run")
    if isinstance(run, bool) or not isinstance(run, (str, int)):
        raise InvalidError("message", [Problem("run", "a run has a name")])
    return run


def _finite(value: Any) -> Any:
    """Return JSON values with None where a number is not finite: such numbers are not JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value
