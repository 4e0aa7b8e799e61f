"""`penstock bench`: figures that anybody can take again, each beside the bare client or server in the same run."""

from dataclasses import asdict
from types import ModuleType
from typing import Annotated

import typer

from penstock.cli.exits import Exits
from penstock.cli.lazy import Entry, group_of
from penstock.cli.output import Json, Output

_FIGURES = "Figures"


def figures(module: ModuleType) -> typer.Typer:
    """Return the command of a module that only has `run()`: its result is a dataclass with `line()` and `within`."""
    app = typer.Typer(help=module.__doc__)

    @app.command(help=module.__doc__)
    def run(
        check: Annotated[bool, typer.Option("--check", help="Exit 1 when a goal is missed.")] = False,
        json: Json = False,
    ) -> None:
        found = module.run()
        Output(json).result({**asdict(found), "within": found.within}, found.line)
        if check and not found.within:
            raise typer.Exit(Exits.INTERNAL)

    return app


PARTS: tuple[Entry, ...] = (
    Entry("pipeline", "tests.bench.pipeline.command", "Window closed to flag changed, beside a bare chain.", _FIGURES),
    Entry("flags", "tests.bench.flags.command", "Flags served and pushed.", _FIGURES, wrap=figures),
    Entry("ingest", "tests.bench.ingest.command", "Samples taken in.", _FIGURES, wrap=figures),
    Entry("gates", "tests.bench.gates.command", "What a window costs the judge.", _FIGURES, wrap=figures),
)

app = typer.Typer(cls=group_of(PARTS), no_args_is_help=True, help="Measure, beside the bare client in the same run.")


@app.callback()
def _root() -> None:
    """Measure; every figure of the README comes from one of these."""
