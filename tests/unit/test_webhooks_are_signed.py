"""Standard Webhooks: ours and the reference implementation understand each other, and nothing else gets through."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks

from penstock.errors import InvalidError, UnauthorizedError
from penstock.webhooks import key_of, sign, verify

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
BODY = '{"type":"rollback.started","ü":1}'.encode()


def secret(fill: int, size: int = 32) -> str:
    return "whsec_" + base64.b64encode(bytes([fill]) * size).decode()


NEW, OLD = secret(1), secret(2)


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the reference implementation reads the clock itself


def test_the_reference_implementation_verifies_what_we_sign() -> None:
    headers = sign([NEW], "event-1", now(), BODY)
    assert standardwebhooks.Webhook(NEW).verify(BODY, headers) == {"type": "rollback.started", "ü": 1}


def test_during_a_rotation_holders_of_either_secret_verify_the_same_message() -> None:
    headers = sign([NEW, OLD], "event-1", now(), BODY)
    assert len(headers["webhook-signature"].split(" ")) == 2
    for one in (NEW, OLD):
        standardwebhooks.Webhook(one).verify(BODY, headers)


def test_we_verify_what_the_reference_implementation_signs() -> None:
    signature = standardwebhooks.Webhook(NEW).sign("event-1", NOW, BODY.decode())
    headers = {
        "webhook-id": "event-1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": f"v1a,unknown {signature}",
    }
    assert verify([OLD, NEW], headers, BODY, NOW) == "event-1"


def test_the_reference_implementation_refuses_another_body() -> None:
    headers = sign([NEW], "event-1", NOW, BODY)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(NEW).verify(BODY + b" ", headers)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "event-2"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": "v1,"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,é"},
        {"webhook-timestamp": "soon"},
    ],
)
def test_a_message_that_was_changed_is_refused(change: dict[str, str]) -> None:
    headers = sign([NEW], "event-1", NOW, BODY) | change
    with pytest.raises(UnauthorizedError):
        verify([NEW], headers, BODY, NOW)


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_header_names_are_read_in_any_case(case: Callable[[str], str]) -> None:
    headers = {case(name): value for name, value in sign([NEW], "event-1", NOW, BODY).items()}
    assert verify([NEW], headers, BODY, NOW) == "event-1"


def test_another_body_another_secret_and_a_missing_header_are_refused() -> None:
    headers = sign([NEW], "event-1", NOW, BODY)
    with pytest.raises(UnauthorizedError):
        verify([NEW], headers, BODY + b" ", NOW)
    with pytest.raises(UnauthorizedError):
        verify([OLD], headers, BODY, NOW)
    for name in headers:
        with pytest.raises(UnauthorizedError):
            verify([NEW], {other: value for other, value in headers.items() if other != name}, BODY, NOW)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_message_from_another_time_is_refused(minutes: int) -> None:
    headers = sign([NEW], "event-1", NOW + timedelta(minutes=minutes), BODY)
    with pytest.raises(UnauthorizedError, match="300 s"):
        verify([NEW], headers, BODY, NOW)
    assert verify([NEW], sign([NEW], "event-1", NOW + timedelta(minutes=4), BODY), BODY, NOW) == "event-1"


@pytest.mark.parametrize("text", ["", "whsec_not base64!", "c2VjcmV0", secret(1, 23), secret(1, 65)])
def test_a_secret_of_another_form_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        key_of(text)
    assert not text or text not in str(caught.value)


def test_secrets_of_24_to_64_bytes_are_taken() -> None:
    assert key_of(secret(7, 24)) == bytes([7]) * 24
    assert key_of(secret(7, 64)) == bytes([7]) * 64
