"""Sessions outlive the process: the key is made once, for its owner only, and shared where the settings name a file."""

import pytest

from penstock.errors import SettingsError
from penstock.tokens import Identity, Tokens, digest_of
from services.console.http_api.security import COOKIE, Door
from services.console.http_api.session_key import session_key

TOKENS = Tokens(tokens=(Identity(sha256=digest_of("t"), identity="olga", roles=("operator",)),))


class Asked:
    def __init__(self, cookie):
        self.cookies = {COOKIE: cookie}


def test_a_session_holds_after_a_restart_and_its_forms_too(tmp_path):
    before, after = (Door(TOKENS, session_key(None, tmp_path)) for _ in range(2))
    asked = Asked(before.sign_in("t", 0))
    assert after.session(asked, 1).who.identity == "olga"
    assert after.session(asked, 1).csrf == before.session(asked, 1).csrf


def test_another_consoles_own_key_makes_no_session_here(tmp_path):
    here, there = (Door(TOKENS, session_key(None, tmp_path / name)) for name in ("here", "there"))
    assert here.session(Asked(there.sign_in("t", 0)), 1) is None


def test_the_key_is_readable_by_its_owner_only(tmp_path):
    session_key(None, tmp_path)
    (path,) = (tmp_path / "console").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b"short"])
def test_a_shared_key_that_is_missing_or_short_is_an_error_of_the_settings(tmp_path, content):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="SESSION_KEY_FILE"):
        session_key(path, tmp_path)
