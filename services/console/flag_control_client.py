"""Flag control as the kill switch asks it: directly, for it must hold without Kafka, by the person's own token."""

import ssl
from typing import Any

import httpx

from penstock.errors import UnavailableError

_TIMEOUT_S = 10.0


class FlagControl:
    """The write endpoint that the settings name; no address ever comes from a request."""

    def __init__(self, server: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.server = server.rstrip("/")
        self._transport = transport
        # Made once: it reads every certificate of the machine, which takes a tenth of a second.
        self._tls = ssl.create_default_context()

    async def act(self, target: str, verb: str, token: str, key: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Return `{"status", "answer"}`; the same key asks once.

        Raises:
            UnavailableError: it does not answer; whether it was done is unknown.
        """
        headers = {"authorization": f"Bearer {token}", "idempotency-key": key}
        try:
            async with httpx.AsyncClient(
                base_url=self.server, timeout=_TIMEOUT_S, transport=self._transport, trust_env=False, verify=self._tls
            ) as client:
                answer = await client.post(f"/flags/{target}/{verb}", json=fields, headers=headers)
                document = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise UnavailableError(f"flag control at {self.server} did not answer ({type(error).__name__})") from None
        return {"status": answer.status_code, "answer": document if isinstance(document, dict) else {}}
