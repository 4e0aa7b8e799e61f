"""How the command line speaks: results on stdout, progress on stderr, icons never without words."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock.errors import PenstockError

Json = Annotated[bool, typer.Option("--json", help="The result as one JSON document.")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="The result as JSON lines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]

_C1 = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Control characters that JSON leaves as they are, and some terminals obey."""

_WIDE = 240
"""Columns where nobody's terminal sets them: a pipe must not wrap."""

MARKS: dict[str, tuple[str, str]] = {
    "announced": ("○", "blue"),
    "awaiting_approval": ("▲", "yellow"),
    "baking": ("◐", "blue"),
    "held": ("▲", "yellow"),
    "soaking": ("◐", "blue"),
    "rolling_back": ("✖", "red"),
    "rolled_back": ("✖", "red"),
    "completed": ("✔", "green"),
    "superseded": ("◌", "dim"),
    "passed": ("✔", "green"),
    "breach": ("✖", "red"),
    "inconclusive": ("◐", "yellow"),
    "no_data": ("◌", "dim"),
}
"""Icon and style by phase or verdict; the word is always beside it."""


def plain(text: object) -> str:
    """Return the text without control and direction characters: what others wrote must not steer the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\u00a0" else " " for letter in str(text))


def marked(word: str) -> Text:
    """Return icon and word of a phase or verdict."""
    icon, style = MARKS.get(word, ("·", ""))
    return Text(f"{icon} {plain(word).replace('_', ' ')}", style=style)


def console(stderr: bool = False) -> Console:
    """Return a console for stdout or stderr; off a terminal it does not wrap. Rich obeys NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=None if stream.isatty() else _WIDE)


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return a table without rules, as people and `awk` like it."""
    drawn = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, show_header=any(headings))
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    return drawn


def dumps(document: object, indent: int = 0) -> str:
    """Return JSON text; `indent` 0 for one line."""
    encoded = msgspec.json.encode(document)
    text = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    return text.translate(_C1)


class Output:
    """Where one command's words go.

    Args:
        json: results as one document; jsonl: one a line.
        quiet: no progress.
    """

    def __init__(self, json: bool = False, jsonl: bool = False, quiet: bool = False) -> None:
        self.json, self.jsonl, self.quiet = json, jsonl, quiet
        self.out = console()

    @property
    def machine(self) -> bool:
        """Whether a machine reads the result."""
        return self.json or self.jsonl

    def result(self, document: Any, human: Callable[[], Any]) -> None:
        """Print one result: `document` for machines, what `human` gives for people."""
        if self.machine:
            typer.echo(dumps(document, indent=0 if self.jsonl else 2))
        else:
            said = human()
            if isinstance(said, str):
                said = "\n".join(map(plain, said.split("\n")))
            self.out.print(said, soft_wrap=isinstance(said, str))

    def rows(self, name: str, documents: Sequence[Mapping[str, Any]], human: Callable[[], Any]) -> None:
        """Print a list: `{name: [...]}`, or one document a line, or what `human` gives."""
        if self.jsonl:
            for document in documents:
                self.line(document)
        else:
            self.result({name: list(documents)}, human)

    def line(self, document: Any) -> None:
        """Print one document on one line, at once."""
        typer.echo(dumps(document))
        sys.stdout.flush()

    def progress(self, text: str) -> None:
        """Say on stderr how it goes."""
        if not self.quiet:
            typer.echo(plain(text), err=True)


def complain(error: PenstockError | str) -> None:
    """Say on stderr what is wrong; our errors name the next step, and lists of problems keep their lines."""
    typer.echo("\n".join(plain(line) for line in f"error: {error}".splitlines()), err=True)
