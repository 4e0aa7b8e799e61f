"""`penstock demo`: the main job on this machine, start to end; the demo itself is in the checkout, not in the wheel."""

import os
from typing import Annotated

import typer

from penstock.cli import local
from penstock.cli.output import Quiet
from penstock.local.interrupts import INTERRUPTED, stop_by_signals
from penstock.local.progress import Narrator
from penstock.settings import load_settings

app = typer.Typer(help="See the main job done, on this machine.")


@app.command()
def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Assert everything that the demo promises; exit 0 or 1, and end.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Start everything, release four things to simulated users, and watch the outcome. Under three minutes.

    A good release, a bad one whose mean looks fine, one that changes nothing, and one that nobody measures. Everything
    goes through the public interfaces, and every figure comes from the recorded events. Afterwards the dashboard stays
    up until Ctrl-C; with --check it does not.
    """
    director = local.load("director", "deploy.demo")
    stop_by_signals()
    try:
        code: int = director.run(load_settings(os.environ), check, quiet)
    except KeyboardInterrupt:
        # Nothing was shown to the end, so this is no success; the children have ended with the director's context.
        Narrator(quiet).line("stopped before its end; nothing is left running")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)
