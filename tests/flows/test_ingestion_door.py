"""The HTTP door of metric ingestion: what it takes, what it refuses and with which words, and when it says 200."""

import asyncio
import gzip
import zlib
from collections.abc import Sequence

import httpx
import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from starlette.applications import Starlette

from penstock.errors import UnavailableError
from penstock.settings import Settings
from penstock.tokens import Identity, Tokens, digest_of
from services.metric_ingestion.doors.frame_publisher import FramePublisher
from services.metric_ingestion.doors.otlp_http import LARGEST_BODY, OtlpEndpoint, Publish
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.select import Selector
from services.metric_ingestion.windows.frames import Frame
from services.runtime.kafka.appender import Appender
from tests.support.metrics.ingestion import HEADERS, TOKEN, watched
from tests.support.metrics.otlp import SECOND, Export, request, variant
from tests.support.plans import TARGET

AT = 1_800_000_000 * SECOND
GOOD = request(Export(AT, AT - SECOND).histogram((1, 0, 0), variant("on"))).SerializeToString()
TOKENS = Tokens(
    tokens=(
        Identity(sha256=digest_of(TOKEN), identity="tests", roles=("metrics",)),
        Identity(sha256=digest_of("someone"), identity="someone", roles=("publisher", "operator")),
    )
)


class Intake:
    """A door over a Kafka of memory.

    Attributes:
        frames: what was published; away: whether Kafka refuses; gate: holds the acknowledgement until it is set.
    """

    def __init__(self, publish: Publish | None = None) -> None:
        self.frames: list[tuple[str, Frame]] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.selector: Selector | None = Selector([Matcher(watched())])
        door = OtlpEndpoint(TOKENS, lambda: self.selector, publish or self._publish, lambda: AT, Starlette())
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://door")

    async def _publish(self, frames: Sequence[tuple[str, Frame]]) -> None:
        if self.away:
            raise UnavailableError("Kafka did not take the samples")
        await self.gate.wait()
        self.frames.extend(frames)

    async def post(self, body: bytes, **headers: str) -> httpx.Response:
        given = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.client.post("/v1/metrics", content=body, headers=given)


class Small(Appender):
    """Brokers that take nothing so large."""

    async def append(self, *_: object) -> "asyncio.Future[RecordMetadata]":
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        future.set_exception(MessageSizeTooLargeError())
        return future


def status_of(answer: httpx.Response) -> Status:
    status = Status()
    status.ParseFromString(answer.content)
    return status


async def test_a_request_is_published_and_answered_in_its_own_form() -> None:
    intake = Intake()
    answer = await intake.post(GOOD)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert not ExportMetricsServiceResponse.FromString(answer.content).HasField("partial_success")
    assert [target for target, _ in intake.frames] == [TARGET]
    assert (await intake.post(b'{"resourceMetrics": []}', content_type="application/json")).json() == {}


async def test_nothing_is_answered_before_kafka_has_it() -> None:
    intake = Intake()
    intake.gate.clear()
    posting = asyncio.create_task(intake.post(GOOD))
    await asyncio.sleep(0.05)
    assert not posting.done()
    intake.gate.set()
    assert (await posting).status_code == 200


async def test_without_kafka_the_source_is_asked_to_come_again() -> None:
    intake = Intake()
    intake.away = True
    answer = await intake.post(GOOD)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert status_of(answer).message.startswith("Kafka")


async def test_samples_that_no_broker_takes_are_refused_for_good() -> None:
    intake = Intake(FramePublisher(Small(Settings())).publish)
    answer = await intake.post(GOOD)
    assert answer.status_code == 413
    assert "Kafka took 0 of 1 parts" in status_of(answer).message


async def test_before_the_plans_are_read_the_source_is_asked_to_come_again() -> None:
    intake = Intake()
    intake.selector = None
    assert (await intake.post(GOOD)).status_code == 503
    assert intake.frames == []


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "application/json; charset=utf-8"])
async def test_a_body_that_is_no_request_is_refused_with_its_reason(content_type: str) -> None:
    intake = Intake()
    answer = await intake.post(b"\xff\xffnonsense", content_type=content_type)
    assert answer.status_code == 400
    message = answer.json()["message"] if "json" in content_type else status_of(answer).message
    assert "is not OTLP" in message


async def test_malformed_points_are_counted_in_the_answer_and_the_good_ones_taken() -> None:
    intake = Intake()
    broken = Export(AT, AT - SECOND).histogram((1, 0, 0), variant("on")).histogram((1, 2), variant("off"))
    answer = await intake.post(broken.request().SerializeToString())
    partial = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_data_points) == (200, 1)
    assert "2 buckets for 2 edges" in partial.error_message
    assert [len(frame.series) for _, frame in intake.frames] == [1]


async def test_gzip_is_taken_and_a_body_too_large_after_inflation_is_not() -> None:
    intake = Intake()
    assert (await intake.post(gzip.compress(GOOD), content_encoding="gzip")).status_code == 200
    bomb = zlib.compressobj(wbits=31)
    body = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(LARGEST_BODY >> 20)) + bomb.compress(b"1")
    answer = await intake.post(body + bomb.flush(), content_encoding="gzip")
    assert answer.status_code == 413
    assert len(intake.frames) == 1


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(GOOD)[:-9]], ids=["none", "cut short"])
async def test_broken_gzip_is_refused(body: bytes) -> None:
    intake = Intake()
    assert (await intake.post(body, content_encoding="gzip")).status_code == 400
    assert intake.frames == []


async def test_other_forms_and_codings_are_refused() -> None:
    intake = Intake()
    assert (await intake.post(GOOD, content_type="text/plain")).status_code == 415
    assert (await intake.post(GOOD, content_encoding="br")).status_code == 415


async def test_metrics_are_a_write_and_take_a_token_with_the_role() -> None:
    intake = Intake()
    assert (await intake.post(GOOD, authorization="")).status_code == 401
    assert (await intake.post(GOOD, authorization="Bearer wrong")).status_code == 401
    answer = await intake.post(GOOD, authorization="Bearer someone")
    assert answer.status_code == 403
    assert "metrics" in status_of(answer).message
    assert intake.frames == []


async def test_the_trace_of_the_request_goes_with_the_frame_where_it_is_one() -> None:
    intake = Intake()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await intake.post(GOOD, traceparent=trace)
    await intake.post(GOOD, traceparent="00-zz")
    assert [frame.trace for _, frame in intake.frames] == [trace, ""]


async def test_other_paths_are_somebody_elses() -> None:
    intake = Intake()
    assert (await intake.client.get("/v1/metrics")).status_code == 404
    assert (await intake.client.post("/v1/traces")).status_code == 404
