"""The command reference, made from the commands: `python -m tests.support.docs.cli_reference > docs/cli.md`."""

import inspect
from collections.abc import Iterator
from typing import Any

import penstock.cli
from penstock.cli.exits import MEANING
from penstock.cli.lazy import LazyCommand

HEAD = """\
# Command line

Noun, then verb; `promote`, `hold`, `resume`, `rollback` and `approve` also stand at the top level: they are typed
under stress.

- The result goes to stdout, progress to stderr. `--json` and `--jsonl` are for machines, `--quiet` leaves progress out.
- Icons never stand without their word; `NO_COLOR` is obeyed; off a terminal a change is one appended line, and a wait
  says now and then that it still waits.
- Verbs that steer send the stage and sequence that were looked at: if the rollout has moved since, they are refused,
  and the new state is printed.
- Settings: [settings.md](settings.md). Errors say what, why and the next command.

This page is generated from the commands; a test compares them;
`python -m tests.support.docs.cli_reference > docs/cli.md` writes it again.
"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, "## Exit codes", _table(("code", "meaning"), [(str(int(c)), text) for c, text in MEANING.items()])]
    for entry in penstock.cli.COMMANDS:
        command = LazyCommand(entry)
        if not command.hidden and entry.command is None:
            parts += _sections(f"penstock {entry.name}", command.load())
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _sections(name: str, command: Any) -> Iterator[str]:
    children = {child: each for child, each in getattr(command, "commands", {}).items() if not each.hidden}
    children = {child: each.load() if isinstance(each, LazyCommand) else each for child, each in children.items()}
    if not children:
        yield from _section(name, command)
    for child, each in children.items():
        yield from _sections(f"{name} {child}", each)


def _section(name: str, command: Any) -> Iterator[str]:
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name not in _COMPLETION]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    words = [_metavar(p) for p in arguments]
    yield f"## {' '.join([name, *words])}"
    yield inspect.cleandoc(command.help or "")
    rows = [(f"`{' '.join([*p.opts, *p.secondary_opts])}`", _text(p)) for p in options]
    if rows:
        yield _table(("option", "meaning"), rows)


_COMPLETION = {"install_completion", "show_completion"}


def _metavar(parameter: Any) -> str:
    shown = str(parameter.metavar or parameter.name.upper())
    return f"{shown}..." if parameter.nargs == -1 and not shown.rstrip("]").endswith("...") else shown


def _text(option: Any) -> str:
    told = [option.help or ""]
    if option.required:
        told.append("Required.")
    elif option.default not in (None, False, ()) and not callable(option.default):
        told.append(f"Default: `{getattr(option.default, 'value', option.default)}`.")
    return " ".join(part for part in told if part).replace("|", "\\|") or "-"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
