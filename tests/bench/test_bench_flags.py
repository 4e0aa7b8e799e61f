"""`penstock bench flags` measures what it says it does; how fast is not asked here."""

import time

from tests.bench.flags.child import Server
from tests.bench.flags.command import FlagsBench, run
from tests.bench.flags.frames import RawStreams


def test_a_raw_stream_sees_every_push_once_whole_and_not_before_it_was_sent() -> None:
    seen: list[float] = []
    with Server("flags", 500) as server:
        streams = RawStreams(server.sync, 3, seen.append)
        began = [time.monotonic()]
        for version in range(2, 7):
            deadline = time.monotonic() + 20
            while len(seen) < 3 * len(began):
                assert time.monotonic() < deadline, seen
                time.sleep(0.01)
            time.sleep(0.1)
            assert len(seen) == 3 * len(began)
            assert min(seen[-3:]) >= began[-1]
            began.append(server.push(version))
        streams.close()


def test_every_figure_is_measured_and_set_beside_its_goal() -> None:
    found = run(seconds=0.2, turns=1, clients=2, streams=5)
    assert found.single_per_second > 0
    assert 0 < found.ratio < 10
    assert found.bulk_per_second > found.single_per_second
    assert 0 < found.clients_p50_ms <= found.clients_p99_ms
    assert found.raw_last_ms > 0
    assert found.large_p50_ms > 0
    assert found.rss_mb > 10
    assert found.line().count("(goal") == 7


def test_one_missed_goal_is_said_and_counts() -> None:
    good = FlagsBench(30_000, 20_000, 15_000, 0.66, 0.5, 50_000, 100, 4.0, 10.0, 1000, 60.0, 1000, 50.0, 90.0)
    assert good.within
    bad = FlagsBench(30_000, 11_999, 9_000, 0.66, 0.3, 50_000, 100, 4.0, 10.0, 1000, 60.0, 1000, 50.0, 90.0)
    assert not bad.within
    assert bad.line().startswith("✖ missed  OFREP single, a flag with an audience: 11,999/s")
