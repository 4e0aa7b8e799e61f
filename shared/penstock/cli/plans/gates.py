"""`penstock gates`: the judge as a program, its published simulation, and its calibration."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.local import load
from penstock.errors import InvalidError, Problem

app = typer.Typer(no_args_is_help=True, help="Judge windows, and measure the judge.")


@app.callback()
def gates() -> None:
    """Judge windows, and measure the judge."""


def _message(line: bytes) -> dict[str, Any]:
    """Return the message of one line.

    Raises:
        ValueError: it is none. RecursionError: it is nested beyond reading.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return message


def _unjudged(run: Any, problem: Exception, standing: str = "continue") -> dict[str, Any]:
    what = f"{type(problem).__name__}: {problem}"
    return {"run": run, "verdict": standing, "flags": [], "error": what.replace("\n", "; ")}


def _answer(program: Any, line: bytes) -> dict[str, Any] | None:
    """Return the answer to one line; what cannot be read is answered, never judged."""
    try:
        message = _message(line)
    except (ValueError, RecursionError) as problem:
        return _unjudged(None, problem)
    try:
        answer: dict[str, Any] | None = program.feed(message)
    except InvalidError as problem:
        if message.get("type") == "start":
            print(f"start refused: {problem}", file=sys.stderr)
            return None
        return _unjudged(message.get("run"), problem, program.standing(message))
    return answer


@app.command()
def judge(
    details: Annotated[bool, typer.Option("--details", help="Answer with every gate's numbers.")] = False,
) -> None:
    """Read windows as JSON lines on standard input and answer a verdict line to each."""
    program = load("bench.protocol", "tests").Program(details=details)
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        answer = _answer(program, line)
        if answer is not None:
            sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
            sys.stdout.flush()


@app.command()
def simulate(
    runs: Annotated[int, typer.Option(help="Runs of each scenario.")] = 1000,
    scenario: Annotated[list[str] | None, typer.Option(help="Only this scenario (repeatable).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="40 runs, without the peers.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the whole table.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    peers: Annotated[bool, typer.Option(help="Also run thresholds and Mann-Whitney.")] = True,
    at_most: Annotated[
        int | None, typer.Option(help="Add runs, up to these, until a row shows whether its promise is kept.")
    ] = None,
    held_out: Annotated[bool, typer.Option("--held-out", help="Only the worlds that nothing was tuned on.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Refuse a seed that was used for tuning.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a bound is missed.")] = False,
    as_json: Annotated[Path | None, typer.Option("--json", help="Also write the rows to this file.")] = None,
) -> None:
    """Simulate rollouts with and without harm, and print how the judge and its peers decide them."""
    harness, table = load("bench.judge.harness", "tests"), load("bench.judge.table", "tests")
    if confirm:
        load("bench.judge.seeds", "tests").confirming(seed)
    known = [each.name for each in harness.EVERY]
    for name in scenario or ():
        if name not in known:
            raise typer.BadParameter(f"{name!r} is none of: {', '.join(known)}")
    typer.echo(table.HEADER)
    documents, missed = [], 0
    for rows in harness.simulate(
        scenario or (), 40 if quick else runs, seed, with_peers=peers and not quick, jobs=jobs,
        at_most=None if quick else at_most, held_out=held_out,
    ):  # fmt: skip
        typer.echo(table.line(rows))
        documents += table.document(rows)
        missed += sum(bool(row.misses()) for row in rows if row.method == harness.OURS)
    if as_json is not None:
        as_json.write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")
    if missed:
        typer.echo(f"{missed} scenario{'s' if missed != 1 else ''} missed a bound", err=True)
    if check and missed:
        raise typer.Exit(1)


@app.command()
def calibrate(
    file: Annotated[
        Path, typer.Argument(help="JSON lines; each `start` message of the judge protocol holds a history.")
    ],
) -> None:
    """Show what A/A windows teach about each gate's noise, and judge one half of the fleet against the other."""
    parse, engine = load("bench.protocol.parse", "tests"), load("gate_evaluation.judge.calibrate")
    for message in _starts(file):
        spec = parse.spec_of(message)
        found = engine.calibrate(spec, list(parse.history_of(message, spec.gates)))
        typer.echo(f"run {message.get('run')}")
        for gate in found.gates:
            typer.echo(
                f"  {gate.name}: {gate.windows:.0f} A/A windows; beyond chance a window's log ratio varies by "
                f"{gate.sd_window:.3f}, over its long run by {gate.sd_long:.3f}"
            )
        typer.echo(
            f"  half a against half b over {found.replay_windows} windows: {found.replay_word}, "
            f"evidence of harm 10^{found.replay_log10:.2f}"
        )


def _starts(file: Path) -> Iterator[dict[str, Any]]:
    try:
        for line in file.read_bytes().splitlines():
            message = _message(line) if line.strip() else {}
            if message.get("type") == "start":
                yield message
    except (OSError, ValueError, RecursionError) as problem:
        raise InvalidError(f"windows {file}", [Problem("", f"cannot be read: {problem}")]) from None


@app.command()
def kayenta(
    config: Annotated[Path, typer.Argument(help="A Kayenta canary configuration (JSON).")],
    data: Annotated[Path, typer.Argument(help="Metric data (JSON): `experiment` and `control` by metric name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Classify metrics and score a canary as Kayenta does; exit 1 unless it passes."""
    documents, engine = load("bench.kayenta.documents", "tests"), load("bench.kayenta", "tests")
    canary, series = documents.config_of(_bytes(config)), documents.series_of(_bytes(data))
    found = engine.judge(canary.metrics, series, canary.weights, passing=canary.passing, marginal=canary.marginal)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
    else:
        for metric in found.metrics:
            ratio = "-" if metric.ratio is None else f"{metric.ratio:.3g}"
            critical = ", critical" if metric.critical else ""
            typer.echo(f"{metric.name}: {metric.label} (ratio of means {ratio}{critical})")
        for group in found.score.groups:
            score = "no data" if group.score is None else f"{group.score:.1f}"
            typer.echo(f"group {group.name or '-'}: {score}, weight {group.weight:.3g} %")
        value = "no score" if found.score.value is None else f"{found.score.value:.1f}"
        typer.echo(f"{found.score.verdict}: {value} (pass {canary.passing:g}, marginal {canary.marginal:g})")
    if found.score.verdict != "Pass":
        raise typer.Exit(1)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise InvalidError(str(path), [Problem("", f"cannot be read: {problem}")]) from None
