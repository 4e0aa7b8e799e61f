"""The command line: noun-verb, result on stdout, progress on stderr, one meaning an exit code."""

import errno
import io
import os
import sys

import typer

from penstock.cli.lazy import Entry, group_of

_WATCH, _ACT, _PLAN, _PROVE, _RUN = "See what happens", "Act", "Prepare", "Prove", "Run"

COMMANDS: tuple[Entry, ...] = (
    Entry("rollouts", "penstock.cli.rollouts.commands", "List, show, wait for, explain and steer rollouts.", _WATCH),
    Entry("events", "penstock.cli.events.commands", "Publish a deploy; list, tail and show events.", _WATCH),
    Entry("listen", "penstock.cli.events.listen", "Print events as they happen, or forward them to a URL.", _WATCH),
    Entry("promote", "penstock.cli.rollouts.commands", "Move to the next stage now.", _ACT, "promote"),
    Entry("hold", "penstock.cli.rollouts.commands", "Stay at the present exposure.", _ACT, "hold"),
    Entry("resume", "penstock.cli.rollouts.commands", "Resume a held stage (its bake restarts).", _ACT, "resume"),
    Entry("rollback", "penstock.cli.rollouts.commands", "Roll the release back.", _ACT, "rollback"),
    Entry("approve", "penstock.cli.rollouts.commands", "Approve the pending stage.", _ACT, "approve"),
    Entry("flags", "penstock.cli.flags.commands", "Flags: list, show, kill, undo, serve, import, export.", _ACT),
    Entry("quarantine", "penstock.cli.rollouts.quarantine", "Lift the quarantine of a version.", _ACT),
    Entry("plans", "penstock.cli.plans.commands", "Lint, register and list plans; their schema and power.", _PLAN),
    Entry("gates", "penstock.cli.plans.gates", "Judge, simulate and calibrate gates.", _PLAN),
    Entry("metrics", "penstock.cli.plans.metrics", "Inspect the telemetry that arrives.", _PLAN),
    Entry("replay", "penstock.cli.record.replay", "Decide a rollout again from its record; never emits.", _PROVE),
    Entry("postmortem", "penstock.cli.record.postmortem", "Draft a postmortem from the record.", _PROVE),
    Entry("dead-letters", "penstock.cli.events.dead_letters", "Inputs that could not be processed, and why.", _PROVE),
    Entry("bench", "penstock.cli.stack.bench", "Measure, beside the bare client in the same run.", _PROVE),
    Entry("up", "penstock.cli.stack.up", "Start Kafka, the flag store and every service here.", _RUN),
    Entry("demo", "penstock.cli.stack.demo", "Watch the main job on this machine.", _RUN),
    Entry("tokens", "penstock.cli.access.tokens", "Create, list, rotate and revoke tokens.", _RUN),
    Entry("access", "penstock.cli.access.can", "Who may do what.", _RUN),
    Entry("topics", "penstock.cli.access.topics", "Topics, and what Kafka must allow each service.", _RUN),
    Entry("doctor", "penstock.cli.stack.doctor", "Check what is installed and what is missing.", _RUN),
    Entry("test", "penstock.cli.stack.test", "Run the tests.", _RUN),
)
"""Every command; a module that is not installed is left out of `--help`."""

app = typer.Typer(
    cls=group_of(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("penstock"))
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Staged releases, validated on metrics while they widen, rolled back automatically when metrics regress.

    Settings come from PENSTOCK_* variables (docs/settings.md) and, where a local stack runs, from its state folder.
    """


def _print_anything() -> None:
    """Let a terminal without Unicode show `?` for an icon instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Run the command line; an error of ours becomes one message and its exit code."""
    from penstock.errors import PenstockError

    _print_anything()
    try:
        app(prog_name="penstock")
    except PenstockError as error:
        from penstock.cli.exits import of_error
        from penstock.cli.output import complain

        complain(error)
        sys.exit(of_error(error))
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing is wrong, and stdout takes nothing more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        from penstock.cli.exits import Exits
        from penstock.cli.output import complain

        where = f" ({error.filename})" if error.filename else ""
        complain(f"{error.strerror}{where}: make room there, or set PENSTOCK_STATE and XDG_CACHE_HOME to other folders")
        sys.exit(Exits.INTERNAL)
