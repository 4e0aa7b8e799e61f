"""`penstock bench`: figures that anybody can take again, each beside the bare client or server in the same run."""

import typer

from .lazy import Entry, group_of

_FIGURES = "Figures"

PARTS: tuple[Entry, ...] = (
    Entry("pipeline", "penstock.cli.bench_pipeline", "Window closed to flag changed, beside a bare chain.", _FIGURES),
    Entry("flags", "penstock.cli.bench_flags", "Flags served and pushed.", _FIGURES),
    Entry("ingest", "penstock.cli.bench_ingest", "Samples taken in.", _FIGURES),
    Entry("gates", "penstock.cli.bench_gates", "What a window costs the judge.", _FIGURES),
)

app = typer.Typer(cls=group_of(PARTS), no_args_is_help=True, help="Measure, beside the bare client in the same run.")


@app.callback()
def _root() -> None:
    """Measure; every figure of the README comes from one of these."""
