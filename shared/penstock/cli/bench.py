"""`penstock bench`: figures that anybody can take again, each beside the bare client or server in the same run."""

from dataclasses import asdict
from types import ModuleType
from typing import Annotated

import typer

from .exits import Exits
from .lazy import Entry, group_of
from .output import Json, Output

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
    Entry("pipeline", "penstock.cli.bench_pipeline", "Window closed to flag changed, beside a bare chain.", _FIGURES),
    Entry("flags", "penstock.cli.bench_flags", "Flags served and pushed.", _FIGURES, wrap=figures),
    Entry("ingest", "penstock.cli.bench_ingest", "Samples taken in.", _FIGURES, wrap=figures),
    Entry("gates", "penstock.cli.bench_gates", "What a window costs the judge.", _FIGURES, wrap=figures),
)

app = typer.Typer(cls=group_of(PARTS), no_args_is_help=True, help="Measure, beside the bare client in the same run.")


@app.callback()
def _root() -> None:
    """Measure; every figure of the README comes from one of these."""
