"""`penstock bench flags`: OFREP beside an echo on the same server, and how fast a push reaches clients."""

from dataclasses import dataclass

import typer

from penstock.cli.local import load

LEAST_SINGLE = 12_000
LEAST_RATIO = 0.55
LEAST_BULK = 40_000
MOST_CLIENTS_P99_MS = 25.0
MOST_RAW_LAST_MS = 100.0
MOST_LARGE_P50_MS = 100.0
MOST_RSS_MB = 150.0


@dataclass(frozen=True)
class FlagsBench:
    """Answers and evaluations per second of one core, milliseconds from push to visible, megabytes while serving.

    Rates go by the processor time that the server used, so that a busy machine does not count against it.
    """

    echo_per_second: float
    single_per_second: float
    ramp_per_second: float
    ratio: float
    ramp_ratio: float
    bulk_per_second: float
    clients: int
    clients_p50_ms: float
    clients_p99_ms: float
    streams: int
    raw_last_ms: float
    large_flags: int
    large_p50_ms: float
    rss_mb: float

    @property
    def within(self) -> bool:
        """Whether every goal is met."""
        return all(met for _, met in self._lines())

    def line(self) -> str:
        """Return the figures, one a line, with their goals."""
        lines = [f"{'✔ met   ' if met else '✖ missed'}  {text}" for text, met in self._lines()]
        ramp = f"  a flag split by percentage: {self.ramp_per_second:,.0f}/s, {self.ramp_ratio:.0%} of the echo"
        return "\n".join([*lines[:2], f"◌ no goal{ramp}", *lines[2:]])

    def _lines(self) -> list[tuple[str, bool]]:
        single, bulk, ratio = self.single_per_second, self.bulk_per_second, self.ratio
        clients, last, large = self.clients_p99_ms, self.raw_last_ms, self.large_p50_ms
        return [
            (f"OFREP single, a flag with an audience: {single:,.0f}/s (goal {LEAST_SINGLE:,})", single >= LEAST_SINGLE),
            (
                f"beside an echo's {self.echo_per_second:,.0f}/s: {ratio:.0%} (goal {LEAST_RATIO:.0%})",
                ratio >= LEAST_RATIO,
            ),
            (f"OFREP bulk: {bulk:,.0f} evaluations/s (goal {LEAST_BULK:,})", bulk >= LEAST_BULK),
            (
                f"push to {self.clients} in-process streams: p50 {self.clients_p50_ms:.1f} ms, p99 {clients:.1f} ms "
                f"(goal {MOST_CLIENTS_P99_MS:.0f})",
                clients < MOST_CLIENTS_P99_MS,
            ),
            (
                f"last of {self.streams} raw streams: {last:.0f} ms (goal {MOST_RAW_LAST_MS:.0f})",
                last < MOST_RAW_LAST_MS,
            ),
            (
                f"{self.large_flags} flags: push p50 {large:.0f} ms (goal {MOST_LARGE_P50_MS:.0f})",
                large < MOST_LARGE_P50_MS,
            ),
            (
                f"memory with {self.streams} streams: {self.rss_mb:.0f} MB (goal {MOST_RSS_MB:.0f})",
                self.rss_mb < MOST_RSS_MB,
            ),
        ]


def run(seconds: float = 3.0, turns: int = 3, clients: int = 100, streams: int = 1000) -> FlagsBench:
    """Measure, in about a minute.

    Args:
        seconds: of load in each turn; turns: of echo, single and bulk, one after the other.
        clients: streams of which ten are real in-process clients; streams: raw streams.
    """
    found = load("bench.flags.run", "tests").measure(
        lambda text: typer.echo(text, err=True), seconds=seconds, turns=turns, clients=clients, streams=streams
    )
    return FlagsBench(
        echo_per_second=found.echo,
        single_per_second=found.single,
        ramp_per_second=found.ramp,
        ratio=found.single / found.echo,
        ramp_ratio=found.ramp / found.echo,
        bulk_per_second=found.bulk,
        clients=found.clients,
        clients_p50_ms=found.clients_p50 * 1000,
        clients_p99_ms=found.clients_p99 * 1000,
        streams=found.streams,
        raw_last_ms=found.raw_last * 1000,
        large_flags=found.large_flags,
        large_p50_ms=found.large_p50 * 1000,
        rss_mb=found.rss / 1e6,
    )
