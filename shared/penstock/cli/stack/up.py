"""`penstock up`: Kafka, the view's server and every service on this machine, until Ctrl-C."""

import os
import signal
import time
from typing import Annotated, Any

import typer

from penstock.cli.output import Json, Output, Quiet
from penstock.local.interrupts import INTERRUPTED, SIGNALS, stop_by_signals
from penstock.local.preflight import KAFKA_PORT
from penstock.local.progress import Narrator
from penstock.local.stack import LocalStack
from penstock.local.state import Note
from penstock.settings import load_settings

app = typer.Typer(help="Start Kafka, the flag store and every service here.")


@app.command()
def up(
    processes: Annotated[bool, typer.Option("--processes", help="One process a service, as in production.")] = False,
    kafka_port: Annotated[
        int, typer.Option(help="Port of the local Kafka; 0 takes a free one.", min=0, max=65535)
    ] = KAFKA_PORT,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Start a real Kafka, a Valkey and all services; print where they are; stop them all at Ctrl-C. Data stays.

    PENSTOCK_KAFKA and PENSTOCK_REDIS name servers to use instead. What died is started again, and that is said.
    """
    out, narrator = Output(json), Narrator(quiet)
    began = time.monotonic()
    stop_by_signals()
    ready = False
    with LocalStack(load_settings(os.environ), narrator, processes, kafka_port) as stack:
        try:
            note = stack.start()
            ready = True
            seconds = time.monotonic() - began
            out.result({**_document(note), "seconds": round(seconds, 2)}, lambda: _words(note, stack, seconds))
            while True:
                stack.check()
                time.sleep(0.2)
        except KeyboardInterrupt:
            _hurry_by_signals(stack)
            began = time.monotonic()
            stack.stop()
            narrator.line(f"stopped ({time.monotonic() - began:.1f} s); the data stays in {stack.folder}")
    if not ready:
        raise typer.Exit(INTERRUPTED)


def _hurry_by_signals(stack: LocalStack) -> None:
    # A second Ctrl-C means now.
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: stack.kill())


def _document(note: Note) -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(note)
    return document


def _words(note: Note, stack: LocalStack, seconds: float) -> str:
    token = f"{note.token}  (also in {stack.folder / 'token'})" if note.token else f"see {stack.settings.tokens}"
    lines = {
        "dashboard, API": note.server,
        "token": token,
        "metrics (OTLP)": f"{note.otlp}/v1/metrics",
        "flags (OFREP)": note.ofrep,
        "flags (stream)": note.sync,
        "Kafka": note.kafka,
        "Redis": note.redis if "@" not in note.redis else "as PENSTOCK_REDIS says",
        "data, logs": str(stack.folder),
    }
    return "\n".join(
        [
            f"Penstock is up ({seconds:.1f} s).",
            *(f"  {name:<15} {text}" for name, text in lines.items()),
            "Ctrl-C stops everything; the data stays.",
        ]
    )
