"""Commands by module path: `penstock --help` imports none of them, and one that is missing leaves the rest alone."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


@dataclass(frozen=True)
class Entry:
    """One command of the root.

    Attributes:
        name: as it is typed.
        module: where its Typer application `app` lives.
        help: the line that `--help` shows, so that it needs no import.
        panel: heading that it is listed under.
        command: a command inside that application, for verbs that exist at the top level as well.
        wrap: makes an application of a module that has none.
    """

    name: str
    module: str
    help: str
    panel: str
    command: str | None = None
    wrap: Callable[[ModuleType], typer.Typer] | None = None


class LazyCommand(TyperCommand):
    """Stands for a command until it is run or its own help is asked for."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(
            entry.name,
            help=entry.help,
            rich_help_panel=entry.panel,
            add_help_option=False,
            hidden=importlib.util.find_spec(entry.module) is None,
        )
        self.entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.load().make_context(info_name, args, parent=parent, **extra)

    def load(self) -> Any:
        """Return the real command.

        Raises:
            typer.BadParameter: this installation does not have it.
        """
        if self.hidden:
            raise typer.BadParameter(f"`penstock {self.name}` is not part of this installation")
        module = importlib.import_module(self.entry.module)
        application = self.entry.wrap(module) if self.entry.wrap and not hasattr(module, "app") else module.app
        command: Any = get_command(application)
        return command.commands[self.entry.command] if self.entry.command else command


def group_of(entries: tuple[Entry, ...]) -> type[TyperGroup]:
    """Return the class of a root group that has these commands, in their order."""

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = {entry.name: LazyCommand(entry) for entry in entries}

    return LazyGroup
