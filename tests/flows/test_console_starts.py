"""What the console answers before it has read its events, and about flags that do not exist."""

import httpx

from services.console.http_api.startup_gate import NotYet
from tests.support.console.app import ConsoleApp


async def test_a_browser_gets_a_page_that_loads_itself_again_and_a_program_gets_json() -> None:
    gate = NotYet(ConsoleApp().app, lambda: False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://127.0.0.1") as http:
        shown = await http.get("/", headers={"accept": "text/html"})
        assert (shown.status_code, shown.headers["refresh"]) == (503, "2")
        assert "still starting (loading events)." in shown.text
        assert '<html lang="en">' in shown.text
        answer = await http.get("/api/rollouts")
        assert answer.status_code == 503
        assert answer.json()["error"] == "Penstock is still starting (loading events)"


async def test_an_unknown_flag_is_404_with_words() -> None:
    transport = httpx.ASGITransport(ConsoleApp().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = await http.get("/flags/production/nobody/knows")
        assert answer.status_code == 404
        assert "there is no flag production/nobody/knows" in answer.text
