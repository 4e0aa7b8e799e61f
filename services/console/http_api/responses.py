"""JSON answers, and the HTTP answer to each error: what, why, the next step."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from penstock.errors import (
    InvalidError,
    NotFoundError,
    PenstockError,
    Problem,
    TooManyAttemptsError,
    TransientError,
    UnauthorizedError,
)
from penstock.wording.problems import problems_of
from services.runtime.http.bodies import TooLargeError, parse_json, read_body
from services.runtime.http.errors import ForbiddenError, retry_headers, status_of
from services.runtime.http.worker import Worker

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")

_LARGE = 4 * 1024
"""Bytes from which a body is parsed beside the loop."""

_NEXT: dict[type[Exception], str] = {
    UnauthorizedError: "Set PENSTOCK_TOKEN, or send `Authorization: Bearer ...` with a token of the tokens file.",
    ForbiddenError: "Ask somebody who has the role, or have it added in the tokens file.",
    NotFoundError: "GET /api/rollouts lists what there is.",
    TooLargeError: "Send less at once.",
    TooManyAttemptsError: "Use a token of the tokens file; the denied attempts are in the log as access.denied.",
    TransientError: "Send the same request again; with an Idempotency-Key it is done once.",
}
_ENCODER = msgspec.json.Encoder()


class Json(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode plain values."""
        return _ENCODER.encode(content)


def problem(error: Exception) -> Json:
    """Return the answer that reports an error of ours."""
    if isinstance(error, InvalidError):
        return invalid(error.problems)
    status = status_of(error)
    headers = retry_headers(status, error)
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="penstock"'
    following = next((text for kind, text in _NEXT.items() if isinstance(error, kind)), "")
    return Json({"error": str(error), **({"next": following} if following else {})}, status, headers)


def invalid(problems: tuple[Problem, ...], accepted: list[dict[str, Any]] | None = None) -> Json:
    """Return 422 with every problem; `accepted` are the events beside them that were accepted."""
    body: dict[str, Any] = {
        "error": "invalid",
        "problems": [{"where": p.where, "what": p.what, "line": p.line} for p in problems],
        "next": "Correct them and send it again; sending what was accepted again changes nothing.",
    }
    if accepted is not None:
        body["accepted"] = accepted
    return Json(body, 422)


async def on_error(_: Request, error: Exception) -> Response:
    """Starlette's handler of our errors."""
    assert isinstance(error, PenstockError)
    return problem(error)


async def on_gone(_: Request, __: Exception) -> Response:
    """Starlette's handler of clients that leave before their request is whole; nobody reads the answer."""
    return Response(status_code=400)


async def body_of(kind: type[M], request: Request, most: int, worker: Worker) -> M:
    """Return a JSON body, checked.

    Raises:
        InvalidError: no JSON, or not of this form; every problem is listed.
        TooLargeError: longer than `most` bytes.
    """
    return await parsed(worker, _checked, await read_body(request.receive, most), kind)


async def parsed(worker: Worker, parse: Callable[..., R], raw: bytes, *more: Any) -> R:
    """Return what `parse(raw, *more)` returns; what is large is parsed beside the loop."""
    return await worker.run(parse, raw, *more) if len(raw) > _LARGE else parse(raw, *more)


def _checked(raw: bytes, kind: type[M]) -> M:
    document = parse_json(raw or b"{}")
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise InvalidError("body", problems_of(error)) from None
