"""Record the rollouts' histories anew from a real local stack: `python -m tests.replay.record_rollouts`.

To be done when a decision changes on purpose; the histories then show in review what changed.
"""

import os
import random
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec

from penstock.chain import Record, encode
from penstock.chain.record import digest
from penstock.cli.events.publish import Deploy, cdevent, cloudevent
from penstock.cli.record.evidence import read_history, save
from penstock.cli.rollouts.waiting import Clock, follow
from penstock.client import Client
from penstock.local.progress import Narrator
from penstock.local.stack import LocalStack
from penstock.local.state import Note
from penstock.replay import History, Line
from penstock.settings import Settings, load_settings
from penstock.targets import Target
from tests.support.metrics.otlp import Export, variant
from tests.support.plans import SHORT

HISTORIES = Path(__file__).parent / "histories"
EVERY_S = 0.4
SEED = 7


class Traffic(threading.Thread):
    """Telemetry of one flag's users: a fifth of those who have a `bad` release wait four times as long."""

    def __init__(self, note: Note, flag: str, bad: bool) -> None:
        super().__init__(daemon=True)
        self._client = Client(note.server)
        self._http = httpx.Client(base_url=note.otlp, headers={"Authorization": f"Bearer {note.token}"})
        self._flag, self._bad = flag, bad
        self._random = random.Random(SEED)
        self.done = threading.Event()

    def run(self) -> None:
        """Export every 0.4 s until `done`."""
        began = time.time_ns()
        while not self.done.wait(EVERY_S):
            now = time.time_ns()
            shown = self._client.rollouts(target=f"staging/shop/{self._flag}")
            exposed = shown[0]["exposure"] if shown else 0.0
            export = Export(now, began)
            for name, requests, slow in (("on", 60 if exposed else 0, self._bad), ("off", 60, False)):
                counts = [0] * 12
                for _ in range(requests):
                    far = 8 if slow and self._random.random() < 0.2 else 0
                    counts[min(11, max(0, round(self._random.gauss(1.5, 0.7)) + far))] += 1
                if requests:
                    export.exponential(
                        counts, variant(name, self._flag, **{"http.response.status_code": "200"}), 2, -20
                    )
            self._http.post(
                "/v1/metrics",
                content=export.request().SerializeToString(),
                headers={"Content-Type": "application/x-protobuf"},
            ).raise_for_status()
            began = now


def record(note: Note, flag: str, bad: bool) -> tuple[History, str]:
    """Roll one release out on `flag`; return its history and id."""
    client = Client(note.server, note.token)
    plan = SHORT.replace("flag: banner", f"flag: {flag}").replace("name: banner", f"name: {flag}")
    client.register_plan(plan, "to record")
    traffic = Traffic(note, flag, bad)
    traffic.start()
    time.sleep(4)
    deploy = Deploy(Target("staging", "shop", flag), "2.0", "/ci/record", flag, plan_name=flag, author="ada")
    now = datetime.now(UTC)  # noqa: TID251 - a recorder reads the clock
    accepted = client.publish(cloudevent(cdevent(deploy, now)))["accepted"][0]
    for view in follow(client, accepted["rollout"], Clock(), 0.5, print):
        if view["phase"] in {"completed", "rolled_back", "superseded"}:
            print(view["id"], view["phase"], view["sentence"])
            break
    traffic.done.set()
    settings = Settings(kafka=note.kafka)
    return read_history(settings, accepted["rollout"], accepted["target"]), accepted["rollout"]


def wrong(history: History) -> History:
    """Return the history with the breach recorded as a pass, every digest after it made to fit."""
    own = [line for line in history.lines if line.log == "verdict-log"]
    lines, prev = [], None
    for line in own:
        record = msgspec.json.decode(line.value, type=Record)
        events = tuple({**e, "word": "passed"} if e.get("word") == "breach" else e for e in record.events)
        value = encode(msgspec.structs.replace(record, prev=prev or record.prev, events=events))
        prev = digest(value)
        lines.append(Line(line.log, line.offset, value))
    others = [line for line in history.lines if line.log != "verdict-log"]
    return replace(history, lines=(*lines, *others))


def main() -> None:
    """Record a promoted rollout, one that was taken back, and a forged copy of the latter."""
    with tempfile.TemporaryDirectory() as folder:
        ports = dict.fromkeys(("CONSOLE_PORT", "OTLP_PORT", "OFREP_PORT", "SYNC_PORT"), "0")
        given = {"PENSTOCK_STATE": folder, **{f"PENSTOCK_{name}": port for name, port in ports.items()}}
        with LocalStack(load_settings(given), Narrator(), kafka_port=0, environment={**os.environ, **given}) as stack:
            note = stack.start()
            bad, bad_rollout = record(note, "bad", True)
            good, good_rollout = record(note, "good", False)
    save(bad, bad_rollout, HISTORIES / "rollout_taken_back.jsonl")
    save(good, good_rollout, HISTORIES / "rollout_promoted.jsonl")
    save(wrong(bad), bad_rollout, HISTORIES / "rollout_wrong_on_purpose.jsonl")


if __name__ == "__main__":
    main()
