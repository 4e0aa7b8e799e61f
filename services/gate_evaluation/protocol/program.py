"""One run of the protocol after another: start, windows, end; the first verdict other than `continue` is final."""

from collections.abc import Mapping
from typing import Any

from penstock.errors import InvalidError, Problem
from services.gate_evaluation.judge import History, Judge, JudgeSpec, WindowVerdict, Word
from services.gate_evaluation.protocol.parse import spec_of, window_of

_CONTINUE = "continue"


class Program:
    """State of the run at hand; `feed` takes a message and returns the answer, or None for `start`."""

    def __init__(self, *, details: bool = False) -> None:
        self._details = details
        self._run: str | None = None
        self._spec: JudgeSpec | None = None
        self._judge: Judge | None = None
        self._last_window = 0
        self._split = 0.0
        self._answer: dict[str, Any] = {}

    def feed(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take one message.

        Raises:
            InvalidError: a message out of turn, of unknown type, or a start that cannot be judged.
        """
        match message.get("type"):
            case "start":
                self._start(message)
                return None
            case "window":
                return self._window(message)
            case "end":
                self._expect(message)
                return self._answer
            case other:
                raise InvalidError("message", [Problem("type", f"unknown type {other!r}")])

    def _start(self, message: Mapping[str, Any]) -> None:
        self._spec = spec = spec_of(message)
        history = History(spec.gates)
        for window in message.get("history") or ():
            history.learn(window_of(window, spec.gates))
        self._run = message["run"]
        self._judge = Judge.start(spec, history, report=self._details)
        self._last_window = int(message["max_windows"]) - 1
        self._split = float(message["split"])
        self._answer = {"run": self._run, "verdict": _CONTINUE, "flags": []}

    def _expect(self, message: Mapping[str, Any]) -> None:
        if self._judge is None or message.get("run") != self._run:
            raise InvalidError("message", [Problem("run", f"run {message.get('run')!r} was not started")])

    def _window(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._expect(message)
        assert self._judge is not None
        assert self._spec is not None
        if self._answer["verdict"] == _CONTINUE:
            last = int(message.get("t", 0)) >= self._last_window
            verdict = self._judge.observe(window_of(message, self._spec.gates), self._split, last=last)
            self._answer = self._render(verdict)
        return self._answer

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
            answer["gates"] = verdict.to_doc()["gates"]
        return answer
