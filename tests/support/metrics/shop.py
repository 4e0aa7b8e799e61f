"""A shop from its exports to decisions: real ingestion, gate evaluation and rollout control, all in memory."""

from datetime import UTC, datetime

import numpy as np

from penstock.events import GateVerdict, PlanSubmitted, StageJudged
from tests.support.deciders.slice import deploy, pipeline
from tests.support.metrics.otlp import DURATION, variant
from tests.support.metrics.target import Target
from tests.support.metrics.windows import histogram
from tests.support.plans import TARGET

HEAD = """\
version: 1
name: banner
target: {environment: staging, service: shop, flag: banner}
owners: [team-shop]
"""


class Shop:
    """Two instances that export every so many seconds; `serve` lets time pass, and everything hears of it."""

    def __init__(self, plan: str, every: float) -> None:
        self.plan, self.every = HEAD + plan, every
        self.target = Target(self.plan, lateness=5 * 10**9)
        self.world = pipeline()
        self.second = 0.0
        self._rng = np.random.default_rng(3)
        self._told = 0

    def register(self) -> None:
        """Put the plan in force, without a rollout."""
        self.world.publish(
            "commands",
            PlanSubmitted(
                id="submit", source="/tests", target=TARGET, time=self.now, actor="ann", reason="a plan",
                roles=("planner", "admin"), plan_text=self.plan,
            ),
        )  # fmt: skip
        self.world.settle()

    def release(self) -> None:
        """Announce a release."""
        self.world.publish("deploys", deploy(self.plan).model_copy(update={"time": self.now}))
        self.world.settle()

    @property
    def now(self) -> datetime:
        """The present moment."""
        return datetime.fromtimestamp(Target.began + self.second, UTC)

    def serve(
        self, exports: int, *, canary: int = 0, baseline: int = 0, errors: float = 0.0, slower: float = 1.0
    ) -> None:
        """Let each instance export so often, with so many requests of either cohort in each export.

        Args:
            exports: of each instance.
            canary, baseline: requests of an instance in one export.
            errors, slower: share of failed canary requests beyond the usual 0.5 %, and their latency by a factor.
        """
        for _ in range(exports):
            self.second += self.every
            both = [self._export(instance, canary, baseline, errors, slower) for instance in ("shop-1", "shop-2")]
            self.target.export(self.second - 0.001, *both)
            self._hear()

    def _export(self, instance: str, canary: int, baseline: int, errors: float, slower: float) -> object:
        export = self.target.new(self.second - 0.001, instance, covering=self.every)
        for name, count, more, factor in (("on", canary, errors, slower), ("off", baseline, 0.0, 1.0)):
            if not count:
                continue
            failed = min(int(self._rng.binomial(count, 0.005 + more)), count)
            for status, part in ((500, failed), (200, count - failed)):
                if part:
                    drawn = histogram(self._rng.lognormal(-2.5, 0.4, size=part) * factor)
                    attributes = variant(name, **{"http.response.status_code": status})
                    export.exponential(drawn.counts, attributes, scale=drawn.scale, offset=drawn.offset)
            export.counter("orders", float(self._rng.poisson(count / 10)), variant(name))
            export.gauge("memory", 100.0 + float(self._rng.normal()), variant(name))
        return export

    def _hear(self) -> None:
        for window in self.target.windows[self._told :]:
            self.world.close_window(window)
            self._told += 1
            self.world.settle()

    @property
    def verdicts(self) -> list[StageJudged]:
        """All verdicts so far."""
        return [event for event in self.world.said if isinstance(event, StageJudged)]

    def gate(self, name: str) -> GateVerdict:
        """Return the newest verdict on a gate."""
        return next(gate for gate in self.verdicts[-1].gates if gate.gate == name)


__all__ = ["DURATION", "HEAD", "Shop"]
