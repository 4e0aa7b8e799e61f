"""The OpenAPI 3.1 document of the HTTP API, and the route that serves it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock import __version__
from penstock.rollout import Phase
from services.console.commands import VERBS, LiftBody, VerbBody
from services.console.http_api.dead_letters import RedriveBody
from services.console.http_api.responses import Json

Document = dict[str, Any]

_TEXT: Document = {"type": "string"}
_TOKEN: list[Document] = [{"bearer": []}]


def openapi_route() -> Route:
    """Return `GET /openapi.json`."""
    whole = document()

    async def serve(_: Request) -> Response:
        return Json(whole)

    return Route("/openapi.json", serve)


def document() -> Document:
    """Return the document, JSON values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock console",
            "version": __version__,
            "description": "Reads are open; writes take a bearer token. Commands answer with the record they caused.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**_events(), **_rollouts(), **_plans(), **_rest()},
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Verb": VerbBody.model_json_schema(ref_template="#/components/schemas/{model}"),
                "Lift": LiftBody.model_json_schema(),
                "Redrive": RedriveBody.model_json_schema(),
                "Problems": _problems(),
                "Rollout": _rollout(),
            },
        },
    }


def _events() -> Document:
    kinds = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
    return {
        "/events": {
            "post": {
                "operationId": "publishEvents",
                "summary": "Announce deploys: CDEvents service.deployed, bare or as CloudEvents in any mode.",
                "security": _TOKEN,
                "requestBody": {"required": True, "content": {kind: {"schema": {}} for kind in kinds}},
                "responses": {"202": _said("Accepted; `accepted` names each rollout."), **_refusals(413, 422)},
            }
        },
        "/api/events": {
            "get": {
                "operationId": "listEvents",
                "summary": "Recent events, oldest first.",
                "parameters": [*_filters(), _query("limit", {"type": "integer", "minimum": 1, "maximum": 20000})],
                "responses": {"200": _said("Events with their places."), **_refusals(422, token=False)},
            }
        },
        "/api/stream": {
            "get": {
                "operationId": "streamEvents",
                "summary": "Events as they happen (server-sent events); Last-Event-ID resumes.",
                "parameters": _filters(),
                "responses": {
                    "200": {"description": "The stream.", "content": {"text/event-stream": {"schema": _TEXT}}},
                    **_refusals(422, token=False),
                },
            }
        },
    }


def _rollouts() -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": 1000}
    phase = {"type": "string", "enum": list(Phase)}
    view = _said("The rollout.", {"$ref": "#/components/schemas/Rollout"})
    paths: Document = {
        "/api/rollouts": {
            "get": {
                "operationId": "listRollouts",
                "summary": "Rollouts, the one that changed last first.",
                "parameters": [_query("target"), _query("phase", phase), _query("limit", limit)],
                "responses": {"200": _said("Their views."), **_refusals(422, token=False)},
            }
        },
        "/api/rollouts/{rollout}": {
            "get": _one("showRollout", "One rollout.", view),
        },
        "/api/rollouts/{rollout}/events": {
            "get": _one("listRolloutEvents", "Its events, causes before effects.", _said("Events with their places.")),
        },
        "/api/rollouts/{rollout}/cdevents": {
            "get": _one("listRolloutCDEvents", "The rollout as CDEvents.", _said("Standard CDEvents.")),
        },
    }
    for verb in VERBS:
        paths[f"/api/rollouts/{{rollout}}/{verb}"] = {
            "post": {
                "operationId": f"{verb}Rollout",
                "summary": f"Ask to {verb}; answered with the event that it caused.",
                "security": _TOKEN,
                "parameters": [_ROLLOUT, _KEY],
                "requestBody": _json_body({"$ref": "#/components/schemas/Verb"}),
                "responses": {**_caused(), **_refusals(404, 413, 422)},
            }
        }
    return paths


def _plans() -> Document:
    body = {"required": True, "content": {"application/yaml": {"schema": _TEXT}}}
    return {
        "/api/plans": {
            "get": {
                "operationId": "listPlans",
                "summary": "Registered plans.",
                "responses": {"200": _said("The plans.")},
            },
            "post": {
                "operationId": "registerPlan",
                "summary": "Register a plan by its exact text.",
                "security": _TOKEN,
                "parameters": [_query("reason"), _KEY],
                "requestBody": body,
                "responses": {**_caused(), **_refusals(413, 422)},
            },
        },
        "/api/plans/lint": {
            "post": {
                "operationId": "lintPlan",
                "summary": "Every problem of a plan.",
                "requestBody": body,
                "responses": {"200": _said("The problems, none for a good plan."), **_refusals(413, token=False)},
            }
        },
    }


def _rest() -> Document:
    number = {"type": "integer", "minimum": 1, "maximum": 10000}
    return {
        "/api/quarantine/lift": {
            "post": {
                "operationId": "liftQuarantine",
                "summary": "Let a version be deployed again.",
                "security": _TOKEN,
                "parameters": [_KEY],
                "requestBody": _json_body({"$ref": "#/components/schemas/Lift"}),
                "responses": {**_caused(), **_refusals(413, 422)},
            }
        },
        "/api/dead-letters": {
            "get": {
                "operationId": "listDeadLetters",
                "summary": "Refused inputs, each once, newest first.",
                "parameters": [_query("topic"), _query("service"), _query("since"), _query("limit", number)],
                "responses": {"200": _said("Dead letters."), **_refusals(422, token=False)},
            }
        },
        "/api/dead-letters/redrive": {
            "post": {
                "operationId": "redriveDeadLetters",
                "summary": "Publish refused inputs to their topics again; each has its own outcome.",
                "security": _TOKEN,
                "requestBody": _json_body({"$ref": "#/components/schemas/Redrive"}),
                "responses": {
                    "200": _said("For each: `redriven`, `repeated` (it was before), or `refused` with the reason."),
                    **_refusals(413, 422),
                },
            }
        },
        "/health/live": {"get": {"operationId": "live", "responses": {"200": _said("Alive."), "503": _said("Not.")}}},
        "/health/ready": {"get": {"operationId": "ready", "responses": {"200": _said("Ready."), "503": _said("Not.")}}},
    }


def _query(name: str, schema: Document | None = None) -> Document:
    return {"name": name, "in": "query", "schema": schema or _TEXT}


_ROLLOUT: Document = {"name": "rollout", "in": "path", "required": True, "schema": _TEXT}
_KEY: Document = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same identity and key ask once, however often it is sent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}


def _filters() -> list[Document]:
    return [_query("types"), _query("rollout"), _query("target"), _query("since")]


def _said(description: str, schema: Document | None = None) -> Document:
    return {"description": description, "content": {"application/json": {"schema": schema or {"type": "object"}}}}


def _one(operation: str, summary: str, answer: Document) -> Document:
    return {
        "operationId": operation,
        "summary": summary,
        "parameters": [_ROLLOUT],
        "responses": {"200": answer, **_refusals(404, token=False)},
    }


def _json_body(schema: Document) -> Document:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _caused() -> Document:
    return {
        "200": _said("The event that it caused, and the rollout after it."),
        "202": _said("Taken; the record has not appeared yet: look where `see` says."),
        "409": _said("Refused by the present state, which is in the answer."),
    }


def _refusals(*statuses: int, token: bool = True) -> Document:
    told = {
        401: "No token, or an unknown one.",
        403: "Not the role.",
        404: "There is none.",
        413: "Too large.",
        422: "Every problem is listed.",
        503: "Kafka or the record is away; try again.",
    }
    shown = (*((401, 403) if token else ()), *statuses, 503)
    schema = {422: {"$ref": "#/components/schemas/Problems"}}
    return {str(status): _said(told[status], schema.get(status)) for status in shown}


def _problems() -> Document:
    line = {"type": ["integer", "null"]}
    entry = {
        "type": "object",
        "required": ["where", "what"],
        "properties": {"where": _TEXT, "what": _TEXT, "line": line},
    }
    return {
        "type": "object",
        "required": ["error", "problems"],
        "properties": {"error": _TEXT, "problems": {"type": "array", "items": entry}, "next": _TEXT},
    }


def _rollout() -> Document:
    share = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    return {
        "type": "object",
        "required": ["id", "target", "phase", "sequence", "exposure", "sentence", "stages", "gates"],
        "properties": {
            "id": _TEXT,
            "target": _TEXT,
            "phase": {"type": "string", "enum": list(Phase)},
            "stage": {"type": ["string", "null"]},
            "sequence": {"type": "integer", "minimum": 1},
            "exposure": share,
            "exposure_actual": share,
            "sentence": _TEXT,
            "stages": {"type": "array", "items": {"type": "object"}},
            "gates": {"type": "array", "items": {"type": "object"}},
        },
    }
