"""The demo from the outside: releases announced as CI would, everything watched through the public interfaces."""

import contextlib
import json
import os
import queue
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from penstock.cli.events.publish import Deploy, cdevent, cloudevent
from penstock.client import Client
from penstock.errors import UnavailableError
from penstock.events import Event, to_json
from penstock.local.progress import Narrator
from penstock.rollout import ENDED, Phase
from penstock.settings import Settings
from penstock.targets import Target

from .account import account, table_of
from .cast import Cast
from .checks import Check, Outside, checks
from .commands import Command
from .features import BAD, ENVIRONMENT, FEATURES, GOOD, SAME, SERVICE, UNMEASURED, Feature
from .load import read_responses
from .story import Story, recovered
from .view import line_of, screen

WARM_RESPONSES = 1_500
"""Answers before anything is measured: a service that has just started is not what is normal."""
BASELINE_WINDOWS = 8
"""Windows with both halves of the baseline before the first release: what is normal here."""
CALM_S = 30.0
MOST_S = 160.0
LEAST_RATE = 0.5
"""Share of the planned traffic that must really flow: gates see too little of less."""
_TICK_S = 0.2
_RATE_S = 5.0


class Director:
    """Leads one performance.

    Attributes:
        stories: by target, as the events so far report it.
    """

    def __init__(self, cast: Cast, console: Console) -> None:
        self._cast, self._console = cast, console
        self._began = time.monotonic()
        self.stories = {feature.target: Story(feature) for feature in FEATURES}
        self._lines: list[str] = []
        self._live: Live | None = None
        self._note = ""

    def perform(self) -> list[Check]:
        """Play everything; return the checks."""
        self.open()
        with self._view():
            self.release()
            self._await_ends()
        return self._sum_up()

    def open(self) -> None:
        """Start everything, and listen."""
        self._cast.start()
        self._console.print(f"Dashboard: {self._cast.note.server}", soft_wrap=True)
        self._cast.listener.start(self._cast.note.server, self.stories)

    def release(self) -> None:
        """Measure what is normal, then announce the four releases."""
        self._register()
        self._announce()

    def stay(self) -> None:
        """Keep everything running until KeyboardInterrupt."""
        bad = self.stories[BAD.target].rollout
        self._console.print("\nTry, in another terminal:")
        for command in to_try(self._cast.note.server, bad.id if bad is not None else "ID"):
            self._console.print(f"  {command}", soft_wrap=True)
        self._console.print(f"\nThe dashboard stays up: {self._cast.note.server}   (Ctrl-C ends it)", soft_wrap=True)
        while True:
            self._turn()

    def _view(self) -> Live:
        live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stderr=False)
        self._live = live if self._console.is_terminal else None
        return live

    def _register(self) -> None:
        self._report("letting the shop warm up")
        self.until(lambda: len(read_responses(self._cast.responses)) >= WARM_RESPONSES, 40.0)
        self._report("registering the plans, one a flag")
        with self._console_client() as client:
            for feature in FEATURES:
                client.register_plan(self._cast.plan(feature.plan).read_text(), "demo")
        self._report(f"measuring what is normal: {BASELINE_WINDOWS} windows of a second")
        self.until(lambda: all(story.baseline >= BASELINE_WINDOWS for story in self.stories.values()), 40.0)
        if not self._flows():
            self._report("this machine is busy with other things: waiting until the traffic flows")
            self.until(self._flows, CALM_S, needed=False)
        if not self._flows():
            raise UnavailableError(too_busy(os.getloadavg()[0], os.cpu_count() or 1))

    def _flows(self) -> bool:
        """Whether users are answered about as often as planned: what they are answered depends on no processor."""
        now = time.time()  # noqa: TID251 - a shell reads the clock
        recent = [one for one in read_responses(self._cast.responses) if now - one.ended <= _RATE_S]
        return len(recent) >= LEAST_RATE * _RATE_S * sum(feature.rate for feature in FEATURES)

    def _announce(self) -> None:
        self._report("CI announces four releases, as `penstock events publish deploy` does")
        now = datetime.now(UTC)  # noqa: TID251 - when CI announces them
        with self._console_client() as client:
            for feature in FEATURES:
                client.publish(cloudevent(cdevent(_deploy(feature), now)))

    def _console_client(self) -> Client:
        return Client(self._cast.note.server, self._cast.note.token)

    def _command(self, out: str, *arguments: str) -> Command:
        return Command(arguments, self._cast.environment(), self._cast.folder / out)

    def _await_ends(self) -> None:
        self._report("")
        good, bad, same, unmeasured = (self.stories[feature.target] for feature in (GOOD, BAD, SAME, UNMEASURED))

        def done() -> bool:
            return (
                good.phase in ENDED
                and bad.phase in ENDED
                and same.phase in ENDED
                and unmeasured.phase in {Phase.HELD, *ENDED}
                and (bad.phase is not Phase.ROLLED_BACK or len(self._cast.receiver.received) > 0)
            )

        left = MOST_S - (time.monotonic() - self._began)
        self.until(done, left, needed=False)
        # Deliveries arrive after the decision that they report.
        self.until(lambda: recovered(bad), 5.0, needed=False)

    def _sum_up(self) -> list[Check]:
        good, bad, same, unmeasured = (self.stories[feature.target] for feature in (GOOD, BAD, SAME, UNMEASURED))
        found = checks(good, bad, same, unmeasured, self._outside(bad))
        self._console.print("What happened, from the recorded events:", style="bold")
        for line in account(good, bad, same, unmeasured, read_responses(self._cast.responses)):
            self._console.print(f"  {line}", soft_wrap=True)
        self._console.print("\nWhat was promised:", style="bold")
        for check, line in zip(found, table_of(found), strict=True):
            self._console.print(f"  {line}", style="green" if check.held else "bold red", soft_wrap=True)
        took = time.monotonic() - self._began
        self._console.print(
            f"\n{took:.0f} s in all; logs, plans and the postmortem draft: {self._cast.folder}", soft_wrap=True
        )
        return found

    def _outside(self, bad: Story) -> Outside:
        received = self._cast.receiver.received
        if bad.rollout is None:
            return Outside(received, 1, "there is no rollout to replay", "")
        replay = self._command(
            "replay.json", "replay", bad.rollout.id, "--target", bad.feature.target, "--json", "--quiet"
        )
        draft = self._command("postmortem.md", "postmortem", bad.rollout.id)
        self.until(lambda: replay.done() and draft.done(), 60.0, needed=False)
        (replayed, answer), (drafted, text) = replay.finish(), draft.finish()
        return Outside(received, replayed, _sentence(answer), text if drafted == 0 else "")

    def until(self, condition: Callable[[], bool], seconds: float, needed: bool = True) -> None:
        """Go on until the condition holds; if it is `needed`, raise UnavailableError when it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                if needed:
                    raise UnavailableError(
                        f"not within {seconds:.0f} s: {self._note}; see the logs in {self._cast.folder}"
                    )
                return
            self._turn()

    def _turn(self) -> None:
        """Keep the cast alive, fold the received events, show them."""
        self._cast.check()
        while True:
            try:
                received = self._cast.listener.received.get_nowait()
            except queue.Empty:
                break
            if isinstance(received, Exception):
                raise received
            self._fold(received)
        if self._live is not None and self._live.is_started:
            elapsed = time.monotonic() - self._began
            self._live.update(screen(self.stories.values(), self._lines, elapsed, self._note), refresh=True)
        time.sleep(_TICK_S)

    def _fold(self, event: Event) -> None:
        with (self._cast.folder / "events.jsonl").open("a") as record:
            record.write(json.dumps(to_json(event)) + "\n")
        story = self.stories[event.target]
        story.fold(event)
        line = line_of(event, story.feature.flag)
        if line is not None:
            self._lines.append(line)
            if self._live is None:
                self._console.print(line, soft_wrap=True)

    def _report(self, text: str) -> None:
        self._note = text
        if text and self._live is None:
            self._console.print(f"... {text}", soft_wrap=True)


def too_busy(load: float, cores: int) -> str:
    """Return why the demo ends early."""
    return (
        f"this machine is too busy to show it: load {load:.0f} on {cores} cores, and less than half of the shop's "
        "traffic flows; run it again when the machine is calmer"
    )


def to_try(server: str, rollout: str) -> list[str]:
    """Return three commands to go on with."""
    return [
        f"PENSTOCK_SERVER={server} penstock rollouts list",
        f"PENSTOCK_SERVER={server} penstock rollouts show {rollout}",
        f"PENSTOCK_SERVER={server} penstock events list --rollout {rollout}",
    ]


def _deploy(feature: Feature) -> Deploy:
    return Deploy(
        target=Target(ENVIRONMENT, SERVICE, feature.flag),
        version=feature.version,
        source="/demo/ci",
        key=f"demo-{feature.flag}-{feature.version}",
        plan_name=feature.flag,
        notes=f"{feature.flag} {feature.version}, from the demo",
        author="demo-ci",
    )


def _sentence(answer: str) -> str:
    try:
        return str(json.loads(answer).get("sentence", ""))
    except (ValueError, AttributeError):
        return answer.strip().splitlines()[-1] if answer.strip() else "no output"


def run(settings: Settings, check: bool, quiet: bool = False) -> int:
    """Perform the demo; return the exit status: 0, or 1 if a promise did not hold."""
    console = Console(highlight=False, markup=False, emoji=False)
    with Cast(settings, Narrator(quiet)) as cast:
        director = Director(cast, console)
        found = director.perform()
        failed = [one for one in found if not one.held]
        if not check:
            with contextlib.suppress(KeyboardInterrupt):
                director.stay()
        return 1 if failed else 0
