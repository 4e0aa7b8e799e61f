"""Who may act: sessions are signed, expire, and forms only count when they were made for the session."""

import pytest
from starlette.requests import Request

from penstock.errors import UnauthorizedError
from penstock.tokens import Identity, Tokens, digest_of
from services.console.http_api.security import COOKIE, SESSION_S, Door, ForbiddenError
from services.console.pages.routes import local_path

DOOR = Door(Tokens(tokens=(Identity(sha256=digest_of("t"), identity="olga", roles=("operator",)),)), b"key")


def request(cookie=None, authorization=None):
    headers = []
    if cookie is not None:
        headers.append((b"cookie", f"{COOKIE}={cookie}".encode("latin-1")))
    if authorization is not None:
        headers.append((b"authorization", authorization.encode()))
    return Request({"type": "http", "headers": headers, "method": "POST", "path": "/"})


def test_a_session_is_who_signed_in_until_it_expires():
    cookie = DOOR.sign_in("t", now=1000.0)
    assert DOOR.session(request(cookie), 1000.0).who.identity == "olga"
    assert DOOR.session(request(cookie), 1001.0 + SESSION_S) is None


@pytest.mark.parametrize("forged", ["", "x", "a.b.c", "a.9999999999.", "é.1.2", "a.1.é"])
def test_a_cookie_that_we_did_not_sign_is_no_session(forged):
    assert DOOR.session(request(forged), 0.0) is None


def test_a_session_of_another_life_or_with_another_expiry_is_no_session():
    other = Door(DOOR._tokens, b"another key")
    cookie = DOOR.sign_in("t", now=0.0)
    assert other.session(request(cookie), 0.0) is None
    body, _, mac = cookie.rpartition(".")
    prefix, expires, name = body.split(".")
    assert DOOR.session(request(f"{prefix}.{int(expires) + 1}.{name}.{mac}"), 0.0) is None


def test_a_form_without_its_session_token_is_refused():
    cookie = DOOR.sign_in("t", now=0.0)
    session = DOOR.session(request(cookie), 0.0)
    assert DOOR.checked_form(request(cookie), {"csrf": session.csrf}, 0.0).identity == "olga"
    with pytest.raises(ForbiddenError):
        DOOR.checked_form(request(cookie), {"csrf": "guessed"}, 0.0)
    with pytest.raises(ForbiddenError):
        DOOR.checked_form(request(cookie), {"csrf": "é"}, 0.0)
    with pytest.raises(UnauthorizedError):
        DOOR.checked_form(request(), {"csrf": session.csrf}, 0.0)


def test_an_unknown_token_signs_nobody_in():
    with pytest.raises(UnauthorizedError):
        DOOR.sign_in("wrong", 0.0)


def test_roles_are_checked():
    assert DOOR.identify(request(authorization="Bearer t"), "operator").identity == "olga"
    with pytest.raises(ForbiddenError, match="planner"):
        DOOR.identify(request(authorization="Bearer t"), "planner")


@pytest.mark.parametrize("path", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", ""])
def test_signing_in_leads_nowhere_but_to_our_own_pages(path):
    assert local_path(path) == "/"


def test_signing_in_leads_back_to_the_page():
    assert local_path("/rollouts/ro-1") == "/rollouts/ro-1"
