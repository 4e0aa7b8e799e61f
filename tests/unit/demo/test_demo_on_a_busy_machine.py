"""The demo's figures do not depend on free processors; where not even its traffic flows, it says so and ends."""

import random
import time
from typing import Any

from deploy.demo.director import too_busy
from deploy.demo.features import BAD, BASELINE, CANDIDATE
from deploy.demo.shop import Shop


class Flags:
    """A flag service on a machine without room: each answer holds up everything."""

    async def variant(self, _: str, user: str) -> str:
        time.sleep(0.03)  # noqa: ASYNC251 - the machine is busy
        return CANDIDATE if user.endswith("0") else BASELINE


class Measures:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def request(self, _: Any, __: str, ___: str, ____: int, seconds: float) -> None:
        self.seconds.append(seconds)


async def test_what_the_shop_reports_is_the_time_that_was_drawn() -> None:
    measures, drawn = Measures(), Shop(Flags(), Measures(), random.Random(7))  # type: ignore[arg-type]
    shop = Shop(Flags(), measures, random.Random(7))  # type: ignore[arg-type]
    expected = [drawn.draw(BAD, CANDIDATE if number % 10 == 0 else BASELINE)[1] for number in range(12)]
    headers = []

    async def send(message: dict[str, Any]) -> None:
        headers.extend(message.get("headers", []))

    for number in range(12):
        scope = {"type": "http", "path": BAD.route, "query_string": f"user=user-{number}".encode()}
        await shop(scope, None, send)
    assert measures.seconds == expected
    assert [value for name, value in headers if name == b"x-seconds"] == [b"%.5f" % one for one in expected]


def test_the_demo_says_why_it_ends_early() -> None:
    assert too_busy(16.3, 2).startswith("this machine is too busy to show it: load 16 on 2 cores")
