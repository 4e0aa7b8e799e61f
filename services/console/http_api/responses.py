"""JSON answers, and how each error of the tree is told over HTTP: what, why, the next step."""

import json
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from penstock.errors import InvalidError, NotFoundError, PenstockError, Problem, TransientError, UnauthorizedError
from penstock.wording.problems import problems_of
from services.console.http_api.security import ForbiddenError, TooLargeError

M = TypeVar("M", bound=BaseModel)

_ENCODER = msgspec.json.Encoder()


class Json(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode plain values."""
        return _ENCODER.encode(content)


def problem(error: Exception) -> Json:
    """Return the answer that tells an error of ours."""
    match error:
        case InvalidError():
            return invalid(error.problems)
        case UnauthorizedError():
            following = "Set PENSTOCK_TOKEN, or send `Authorization: Bearer ...` with a token of the tokens file."
            return Json({"error": str(error), "next": following}, 401, {"www-authenticate": 'Bearer realm="penstock"'})
        case ForbiddenError():
            following = "Ask somebody who has the role, or have it added in the tokens file."
            return Json({"error": str(error), "next": following}, 403)
        case NotFoundError():
            return Json({"error": str(error), "next": "GET /api/rollouts lists what there is."}, 404)
        case TooLargeError():
            return Json({"error": str(error), "next": "Send less at once."}, 413)
        case TransientError():
            following = "Send the same request again; with an Idempotency-Key it is done once."
            return Json({"error": str(error), "next": following}, 503, {"retry-after": "2"})
        case _:
            return Json({"error": str(error)}, 400)


def invalid(problems: tuple[Problem, ...], accepted: list[dict[str, Any]] | None = None) -> Json:
    """Return 422 with every problem; `accepted` are the events beside them that were taken."""
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


def body_of(kind: type[M], raw: bytes) -> M:
    """Return a JSON body, checked.

    Raises:
        InvalidError: no JSON, or not of this form; every problem is listed.
    """
    try:
        return kind.model_validate(json.loads(raw or b"{}"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            raise InvalidError("body", problems_of(error)) from None
        raise InvalidError("body", [Problem("", "is not JSON")]) from None
