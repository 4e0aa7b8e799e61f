"""Evaluation by `openfeature-flagd-core`, the code the in-process Python provider itself runs; never our own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, FlagNotFoundError, OpenFeatureError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason

from services.flag_control.evaluation.bucketing import Bucketing, Document, for_core

_encode = msgspec.json.encode
_FAILURES = frozenset({ErrorCode.PARSE_ERROR, ErrorCode.TARGETING_KEY_MISSING, ErrorCode.INVALID_CONTEXT})


_Found = tuple[str, str | None, str | Reason | None]


class Outcome(NamedTuple):
    """An evaluation as OFREP answers it: the HTTP status and the exact JSON."""

    status: int
    body: bytes


class _Core(FlagdCore):
    """The core without the caller's type: OFREP asks for a flag, not for a boolean."""

    def resolve(self, key: str, context: EvaluationContext) -> FlagResolutionDetails[Any]:
        return self._resolve(key, None, context, None)


class Evaluator:
    """One immutable set of flags. The core evaluates each time; only the JSON of (flag, variant, reason) is kept."""

    def __init__(self, flags: Mapping[str, Document], bucketing: Mapping[str, Bucketing]) -> None:
        """Load the flags into a fresh core.

        Raises:
            openfeature.exception.ParseError: the core refuses the set.
        """
        self._core = _Core()
        self._core.set_flags({"flags": {key: _prepared(flag, bucketing[key]) for key, flag in flags.items()}})
        self._floats = frozenset(key for key, flag in flags.items() if _is_float(flag))
        self._metadata = {key: flag.get("metadata") for key, flag in flags.items()}
        self._answers: dict[_Found, Outcome] = {}
        self.keys = tuple(flags)

    def resolve(self, key: str, context: EvaluationContext) -> FlagResolutionDetails[Any]:
        """Return the result of the core; `value` is None where the application's own default holds.

        Raises:
            openfeature.exception.OpenFeatureError: the flag is unknown or its targeting fails.
        """
        return self._core.resolve(key, context)

    def answer(self, key: str, context: EvaluationContext) -> Outcome:
        """Return the OFREP answer to one evaluation, failures included."""
        try:
            details = self._core.resolve(key, context)
        except FlagNotFoundError:
            return not_found(key)
        except OpenFeatureError as error:
            code = error.error_code if error.error_code in _FAILURES else ErrorCode.GENERAL
            return failure(code.value, error.error_message or "the evaluation failed", key)
        except RecursionError:
            return failure("INVALID_CONTEXT", "the context is nested too deep for this targeting", key)
        except Exception as error:
            # Any failing targeting is one failed evaluation, as in the in-process providers.
            return failure("GENERAL", f"targeting failed: {type(error).__name__}: {error}", key)
        found = (key, details.variant, details.reason)
        return self._answers.get(found) or self._remembered(found, details)

    def _remembered(self, found: _Found, details: FlagResolutionDetails[Any]) -> Outcome:
        key, variant, reason = found
        answer: Document = {"key": key, "reason": str(reason), "variant": variant or ""}
        if variant is not None:
            answer["value"] = float(details.value) if key in self._floats else details.value
        metadata = self._metadata[key]
        if metadata:
            answer["metadata"] = metadata
        outcome = self._answers[found] = Outcome(200, _encode(answer))
        return outcome


def context_of(attributes: Mapping[str, Any]) -> EvaluationContext:
    """Return the evaluation context of an OFREP `context` object."""
    rest = dict(attributes)
    return EvaluationContext(rest.pop("targetingKey", None), rest)


def failure(code: str, details: str, key: str | None = None) -> Outcome:
    """Return a 400 with `errorCode` and `errorDetails`, and the key where there is one."""
    about = {} if key is None else {"key": key}
    return Outcome(400, _encode({**about, "errorCode": code, "errorDetails": details}))


def not_found(key: str) -> Outcome:
    """Return the 404 for a flag that is not in the set."""
    details = f"flag {key!r} is not in this flag set"
    return Outcome(404, _encode({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}))


def _prepared(flag: Document, bucketing: Bucketing) -> Document:
    # The core moves fields of the dictionaries that it is given, and copies metadata with every evaluation.
    prepared = {field: value for field, value in flag.items() if field != "metadata"}
    if prepared.get("targeting"):
        prepared["targeting"] = for_core(prepared["targeting"], bucketing)
    return prepared


def _is_float(flag: Document) -> bool:
    values = list(flag["variants"].values())
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return numbers and any(isinstance(value, float) for value in values)
