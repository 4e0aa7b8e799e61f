"""`penstock bench`: the benches are in the checkout, not in the wheel; this is the way to them."""

from typing import Any

from penstock.cli.local import load


def __getattr__(name: str) -> Any:
    """Return the application of `tests.bench.command`, loaded when the command is run and not before."""
    if name == "app":
        return load("bench.command", "tests").app
    raise AttributeError(name)
