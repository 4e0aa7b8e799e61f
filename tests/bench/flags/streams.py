"""How long a push takes to be seen: by raw streams, and by real in-process clients."""

import asyncio
import time

import grpc
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.provider import FeatureProvider
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2

from services.flag_control.serving.flagd_sync import SERVICE
from tests.bench.flags.child import Server
from tests.bench.flags.frames import RawStreams

_SETTLE_SECONDS = 0.05
_PATIENCE_SECONDS = 20.0
_STREAMS_A_CHANNEL = 50
"""HTTP/2 servers allow about a hundred streams a connection; a thousand clients come over twenty here."""


async def raw(server: Server, streams: int, pushes: int) -> list[float]:
    """Return, for each push, the seconds until the last of that many raw streams had it."""
    seen: asyncio.Queue[float] = asyncio.Queue()
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{server.sync}", options=(("grpc.use_local_subchannel_pool", 1),))
        for _ in range(-(-streams // _STREAMS_A_CHANNEL))
    ]
    tasks = [asyncio.create_task(_follow(channels[number % len(channels)], seen)) for number in range(streams)]
    try:
        await _all(seen, streams)
        found = []
        for version in range(2, pushes + 2):
            await asyncio.sleep(_SETTLE_SECONDS)
            began = await asyncio.to_thread(server.push, version)
            found.append(await _all(seen, streams) - began)
        return found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in channels:
            await channel.close()


async def _follow(channel: grpc.aio.Channel, seen: "asyncio.Queue[float]") -> None:
    call = channel.unary_stream(f"/{SERVICE}/SyncFlags", sync_pb2.SyncFlagsRequest.SerializeToString)
    async for _ in call(sync_pb2.SyncFlagsRequest()):
        seen.put_nowait(time.monotonic())


async def _all(seen: "asyncio.Queue[float]", streams: int) -> float:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        return max([await seen.get() for _ in range(streams)])


class Clients:
    """Real in-process clients, and raw streams beside them up to a number of streams.

    A client has a push when it says that its configuration has changed: it has read and loaded the whole set by then.
    A hundred of them in one process would measure its interpreter lock, so most streams are raw: they have a push when
    the whole message has come. Those of gRPC's own Python client cost twice what the server does.
    """

    def __init__(self, server: Server, clients: int, streams: int) -> None:
        self._server = server
        self._seen: list[float] = []
        self._streams = max(clients, streams)
        self._raw = RawStreams(server.sync, self._streams - clients, self._seen_at)
        self._providers = [self._client() for _ in range(clients)]
        self._wait()

    def push(self, version: int) -> list[float]:
        """Publish a version; return the seconds until each stream and client had it."""
        self._seen = []
        began = self._server.push(version)
        self._wait()
        return [moment - began for moment in self._seen]

    def close(self) -> None:
        """Disconnect all."""
        self._raw.close()
        for provider in self._providers:
            provider.shutdown()

    def _seen_at(self, moment: float) -> None:
        self._seen.append(moment)

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(self._seen) < self._streams:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self._seen)} of {self._streams} streams saw a push")
            time.sleep(0.001)

    def _client(self) -> FlagdProvider:
        provider = FlagdProvider(
            resolver_type=ResolverType.IN_PROCESS, host="127.0.0.1", port=self._server.sync, deadline_ms=20_000
        )
        provider.attach(self._on_change)
        provider.initialize(EvaluationContext())
        return provider

    def _on_change(self, _: FeatureProvider, event: ProviderEvent, __: ProviderEventDetails) -> None:
        if event is ProviderEvent.PROVIDER_CONFIGURATION_CHANGED:
            self._seen_at(time.monotonic())
