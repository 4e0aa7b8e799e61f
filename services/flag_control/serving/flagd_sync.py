"""flagd sync over gRPC: the whole set at once on connecting and on every change, the same bytes for every stream."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import struct_pb2
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2

from penstock.errors import UnavailableError
from services.flag_control.serving.client_libraries import disagreement, family_of
from services.flag_control.serving.store import FlagSet, FlagStore, normal
from services.flag_control.serving.streams import Stream, Streams
from services.runtime.process.tasks import Tasks

SERVICE = "flagd.sync.v1.FlagSyncService"
_MOST_STREAMS = 20_000
"""Streams and calls at once; beyond them clients get RESOURCE_EXHAUSTED, keep their flags and reconnect."""

_OPTIONS = (
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", 10_000),
)
_GRACE_SECONDS = 1.0
_LOOK_SECONDS = 0.5

TAKE_SECONDS = 3.0
"""A client that reads nothing of a message for so long is closed: a rollback must not wait for it."""

log = logging.getLogger(__name__)


class SyncServer:
    """The server.

    Attributes:
        port: known after the start; streams: its clients.
    """

    def __init__(
        self,
        store: FlagStore,
        host: str,
        port: int,
        *,
        streams: Streams | None = None,
        context: Mapping[str, Any] | None = None,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """Serve `store`, keeping `streams`; `context` is sent as `sync_context`, merged into evaluations."""
        self.port = port
        self.streams = streams if streams is not None else Streams()
        self._store = store
        self._host = host
        self._context = struct_pb2.Struct()
        self._context.update(dict(context or {}))
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None
        self._warned: set[tuple[str, str]] = set()
        self._messages: tuple[FlagSet, bytes] | None = None
        self._tasks = Tasks("flag_control, closing stuck streams,")

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the address is in use or not ours.
        """
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_MOST_STREAMS)
        handlers = {
            "SyncFlags": grpc.unary_stream_rpc_method_handler(self._sync, sync_pb2.SyncFlagsRequest.FromString),
            "FetchAllFlags": grpc.unary_unary_rpc_method_handler(
                self._fetch,
                sync_pb2.FetchAllFlagsRequest.FromString,
                sync_pb2.FetchAllFlagsResponse.SerializeToString,
            ),
            "GetMetadata": grpc.unary_unary_rpc_method_handler(
                self._metadata,
                sync_pb2.GetMetadataRequest.FromString,
                sync_pb2.GetMetadataResponse.SerializeToString,
            ),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        address = f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"
        try:
            if self._credentials is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, self._credentials)
        except RuntimeError:
            raise UnavailableError(
                f"cannot listen on {address} for flagd sync; stop what uses it or choose another port"
            ) from None
        await self._server.start()
        self._tasks.spawn(self._close_stuck(), lasting=True)

    async def stop(self) -> None:
        """End every stream so that its client reconnects elsewhere, then stop."""
        await self._tasks.stop()
        self._store.close()
        if self._server is not None:
            await self._server.stop(_GRACE_SECONDS)

    def alive(self) -> bool:
        """Whether stuck streams are looked for."""
        return self._tasks.alive()

    async def _sync(self, request: sync_pb2.SyncFlagsRequest, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        metadata = _metadata_of(context)
        stream = Stream(_selector(request.selector, metadata), family_of(metadata.get("user-agent", "")))
        # A client that receives an empty set drops its flags; one that is refused keeps them and reconnects.
        if self._store.get(stream.selector) is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, _no_set(stream.selector))
        self.streams.connected.add(stream)
        try:
            await self._send_changes(stream, context)
        finally:
            self.streams.connected.discard(stream)
            self.streams.moved.send()
        # A client that was only slow reads this behind what it was sent, and reconnects for the newest set.
        why = f"nothing was read for {TAKE_SECONDS:.0f} s" if stream.closed_at is not None else "this server stops"
        await context.abort(grpc.StatusCode.UNAVAILABLE, f"{why}; reconnect")

    async def _send_changes(self, stream: Stream, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        with self._store.subscribed(stream.selector) as mailbox:
            while stream.closed_at is None and (flag_set := await mailbox.next_set()) is not None:
                if stream.sent is None or stream.sent.revision != flag_set.revision:
                    stream.writing_since = time.monotonic()
                    await context.write(self._message(flag_set))
                    stream.writing_since = None
                    self._sent(stream, flag_set)

    async def _close_stuck(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if closed := self.streams.close_stuck(time.monotonic(), TAKE_SECONDS):
                log.warning("closed %d sync streams that read nothing for %.0f s", closed, TAKE_SECONDS)

    def _sent(self, stream: Stream, flag_set: FlagSet) -> None:
        stream.sent, stream.at = flag_set, time.monotonic()
        if stream.family not in flag_set.families:
            self._warn(stream, flag_set)
        self.streams.moved.send()

    def _warn(self, stream: Stream, flag_set: FlagSet) -> None:
        # Once a family and a set: to look at every stream of a push would cost as much as to send to it.
        flag_set.families.add(stream.family)
        warning = (
            disagreement(flag_set, stream.family) if (stream.selector, stream.family) not in self._warned else None
        )
        if warning is not None:
            self._warned.add((stream.selector, stream.family))
            log.warning("%s: %s", stream.selector or "all flags", warning)

    def _message(self, flag_set: FlagSet) -> bytes:
        """Return the message of this set; the last one made is kept, so a change is serialised once."""
        if self._messages is None or self._messages[0] is not flag_set:
            response = sync_pb2.SyncFlagsResponse(flag_configuration=flag_set.body.decode())
            if self._context.fields:
                response.sync_context.CopyFrom(self._context)
            self._messages = (flag_set, response.SerializeToString())
        return self._messages[1]

    async def _fetch(
        self, request: sync_pb2.FetchAllFlagsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> sync_pb2.FetchAllFlagsResponse:
        selector = _selector(request.selector, _metadata_of(context))
        flag_set = self._store.get(selector)
        if flag_set is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, _no_set(selector))
            raise AssertionError("abort raises")
        return sync_pb2.FetchAllFlagsResponse(flag_configuration=flag_set.body.decode())

    async def _metadata(
        self, _: sync_pb2.GetMetadataRequest, __: "grpc.aio.ServicerContext[Any, Any]"
    ) -> sync_pb2.GetMetadataResponse:
        response = sync_pb2.GetMetadataResponse()
        response.metadata.CopyFrom(self._context)
        return response


def _no_set(selector: str) -> str:
    # Details travel as a header, which clients limit.
    return f"no flag set {selector[:200]!r}, or it has not loaded yet"


def _selector(requested: str, metadata: Mapping[str, str]) -> str:
    return normal(metadata.get("flagd-selector", requested))


def _metadata_of(context: "grpc.aio.ServicerContext[Any, Any]") -> dict[str, str]:
    return {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
