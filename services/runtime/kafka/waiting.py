"""Waits for Kafka: the one place that tells a cluster that is away, or refuses us, from a failure of our own."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from services.runtime.kafka.connection import KafkaAwayError

AGAIN_S = 1.0
REFUSED = "refused by Kafka"
"""Begins the reason where the brokers answer, and do not allow what is asked."""
AWAY = (KafkaAwayError, KafkaError)
_GIVE_UP_S = 10.0
_REFUSED = {
    TopicAuthorizationFailedError: "a topic",
    GroupAuthorizationFailedError: "a consumer group",
    ClusterAuthorizationFailedError: "the cluster",
    TransactionalIdAuthorizationFailed: "a transactional id",
}

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Stoppable(Protocol):
    """Something that was started, perhaps only in part."""

    name: str

    async def stop(self) -> None:
        """Stop it as far as it has started."""


async def until_available(start: Callable[[], Awaitable[Result]], on_wait: Callable[[str], Awaitable[None]]) -> Result:
    """Return what `start` returns; while Kafka is away, or refuses us, call `on_wait` with the reason and try again."""
    while True:
        try:
            return await start()
        except AWAY as error:
            await on_wait(reason_of(error))
            await asyncio.sleep(AGAIN_S)


def reason_of(error: BaseException) -> str:
    """Return what keeps a service from Kafka, in words that tell an operator what to do."""
    for kind, what in _REFUSED.items():
        if isinstance(error, kind):
            named = f" ({error})" if str(error) and str(error) != repr(error) else ""
            return (
                f"{REFUSED}: this user is not authorized for {what} that the service needs{named}; "
                "`penstock topics acls` lists every rule"
            )
    if isinstance(error, SaslAuthenticationFailed | AuthenticationFailedError):
        return f"{REFUSED}: user name or password is wrong ({error}); see PENSTOCK_KAFKA_USERNAME"
    return str(error) or type(error).__name__


async def stop_what_started(service: Stoppable) -> None:
    """Stop a service whose start failed; what it held of a Kafka that is away is of no use to the next attempt."""
    try:
        async with asyncio.timeout(_GIVE_UP_S):
            await service.stop()
    except Exception as error:
        log.debug("%s did not stop cleanly: %r", service.name, error)


def wait_for_broker(bootstrap: str, deadline: float) -> None:
    """Return once a broker of the list accepts connections, at the latest at `deadline` (time.monotonic)."""
    while time.monotonic() < deadline:
        for address in bootstrap.split(","):
            host, _, port = address.rpartition(":")
            with contextlib.suppress(OSError, ValueError), socket.create_connection((host.strip("[]"), int(port)), 1.0):
                return
        time.sleep(0.02)
