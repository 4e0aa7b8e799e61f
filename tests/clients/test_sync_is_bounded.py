"""flagd sync bounds what a gRPC client may send: metadata, messages and streams of one connection."""

from pathlib import Path

import grpc
import pytest
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from tests.support.flags.sets import EVERY_KIND, serving_files, written


async def test_a_flood_of_metadata_or_a_large_message_is_refused_and_others_are_served(tmp_path: Path) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        address = f"127.0.0.1:{served.sync.port}"
        unbounded = [("grpc.max_metadata_size", 1 << 24), ("grpc.absolute_max_metadata_size", 1 << 24)]
        async with grpc.aio.insecure_channel(address, options=unbounded) as channel:
            stub = sync_pb2_grpc.FlagSyncServiceStub(channel)
            for metadata, selector in (((("x", "y" * 100_000),), ""), ((), "s" * 200_000)):
                asked = sync_pb2.FetchAllFlagsRequest(selector=selector)
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await stub.FetchAllFlags(asked, metadata=metadata, timeout=10)
                assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, raised.value.details()
        async with grpc.aio.insecure_channel(address) as channel:
            answer = await sync_pb2_grpc.FlagSyncServiceStub(channel).FetchAllFlags(
                sync_pb2.FetchAllFlagsRequest(), timeout=10
            )
            assert "flags" in answer.flag_configuration
