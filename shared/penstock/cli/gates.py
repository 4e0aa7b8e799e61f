"""`penstock gates`: the judge as a program, its published simulation, and its calibration."""

import json
import sys
from typing import Annotated, Any

import typer

from penstock.cli.local import load
from penstock.errors import InvalidError

app = typer.Typer(no_args_is_help=True, help="Judge windows, and measure the judge.")


@app.callback()
def gates() -> None:
    """Judge windows, and measure the judge."""


def _answer(program: Any, line: str) -> dict[str, Any] | None:
    """Return the answer to one line; what cannot be read is answered, never judged."""
    try:
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a message is a JSON object")
    except ValueError as problem:
        return {"run": None, "verdict": "continue", "error": f"not a JSON message: {problem}"}
    try:
        answer: dict[str, Any] | None = program.feed(message)
    except (InvalidError, KeyError, TypeError, ValueError) as problem:
        if message.get("type") == "start":
            print(f"start refused: {problem!r}", file=sys.stderr)
            return None
        return {"run": message.get("run"), "verdict": "continue", "error": f"{type(problem).__name__}: {problem}"}
    return answer


@app.command()
def judge(
    details: Annotated[bool, typer.Option("--details", help="Answer with every gate's numbers.")] = False,
) -> None:
    """Read windows as JSON lines on standard input and answer a verdict line to each."""
    program = load("gate_evaluation.protocol").Program(details=details)
    for line in sys.stdin:
        if not line.strip():
            continue
        answer = _answer(program, line)
        if answer is not None:
            sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
            sys.stdout.flush()
