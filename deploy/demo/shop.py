"""The shop: a small HTTP application that asks its flag for every request and takes a drawn time to answer.

What it reports is the time that was drawn, not the time that passed: on a busy machine every request would look slow.
"""

import argparse
import asyncio
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from .features import BASELINE, BROKEN, BY_ROUTE, CANDIDATE, QUERY_MEDIAN_S, QUERY_SIGMA, UNAVAILABLE, Feature
from .telemetry import Measured, measured

_THREADS = 6
"""The OFREP provider waits for its answer, so it waits in threads; its connections are as many."""


class Flags:
    """The flags of one flag service, through the OpenFeature SDK."""

    def __init__(self, address: str) -> None:
        api.set_provider(OFREPProvider(address, timeout=2.0))
        self._client: OpenFeatureClient = api.get_client()
        self._threads = ThreadPoolExecutor(_THREADS, "flags")

    async def variant(self, flag: str, user: str) -> str:
        """Return the user's variant; the baseline, which is the code's default, where the flag cannot be evaluated."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._variant, flag, user)

    def _variant(self, flag: str, user: str) -> str:
        return self._client.get_boolean_details(flag, False, EvaluationContext(user)).variant or BASELINE


class Shop:
    """The ASGI application."""

    def __init__(self, flags: Flags, measures: Measured, chance: random.Random, broken: str = "") -> None:
        self._flags, self._measures, self._chance, self._broken = flags, measures, chance, broken
        self._served: Counter[str] = Counter()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        feature = BY_ROUTE.get(scope.get("path", ""))
        if scope["type"] != "http" or feature is None:
            await _answer(send, 404, "", 0.0)
            return
        user = parse_qs(scope["query_string"].decode()).get("user", ["nobody"])[0]
        variant = await self._flags.variant(feature.flag, user)
        status, seconds = self.draw(feature, variant)
        await asyncio.sleep(seconds)
        await _answer(send, status, variant, seconds)
        self._measures.request(feature, variant, user, status, seconds)

    def draw(self, feature: Feature, variant: str) -> tuple[int, float]:
        """Return the status of a request and the seconds that its queries take."""
        queries = 1
        if variant == CANDIDATE:
            self._served[feature.flag] += 1
            if feature.cold_every and self._served[feature.flag] % feature.cold_every == 0:
                queries += feature.cold_queries
        seconds = sum(self._chance.lognormvariate(0.0, QUERY_SIGMA) * QUERY_MEDIAN_S for _ in range(queries))
        broken = variant == CANDIDATE and feature.flag == self._broken
        return 503 if self._chance.random() < (BROKEN if broken else UNAVAILABLE) else 200, seconds


async def _answer(send: Any, status: int, variant: str, seconds: float) -> None:
    headers = [(b"content-length", b"0"), (b"x-variant", variant.encode()), (b"x-seconds", b"%.5f" % seconds)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Serve the shop until SIGTERM."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--ofrep", required=True, help="address of the flag service")
    options.add_argument("--otlp", required=True, help="address of the metric intake")
    options.add_argument("--broken", default="", help="flag whose candidate fails one request in four")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    measures = measured(given.otlp, f"shop-{given.port}")
    chance = random.Random(given.seed)  # noqa: S311 - traffic, not secrets
    shop = Shop(Flags(given.ofrep), measures, chance, given.broken)
    uvicorn.run(
        shop,
        host="127.0.0.1",
        port=given.port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=600,
    )
    measures.provider.shutdown()


if __name__ == "__main__":
    main()
