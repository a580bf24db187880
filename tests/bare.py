"""A bare HTTP client of a sandbox, which shares nothing with the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import httpx

from puzzel_chat.sandbox import Sandbox


class Customer:
    """One session, at both hosts."""

    def __init__(self, sandbox: Sandbox, **form: str) -> None:
        """Fetch a token; `form` is added to what a visitor's client sends."""
        self.tenant = sandbox.solution_id
        # Nothing here speaks TLS, and to read the system's certificates takes longer than most tests.
        self.identity = httpx.Client(base_url=sandbox.identity_url, timeout=5, trust_env=False, verify=False)
        self.http = httpx.Client(base_url=sandbox.base_url, timeout=5, trust_env=False, verify=False)
        self.tokens = self.token(grant_type="visitor", **form).raise_for_status().json()
        self.bear(self.tokens)

    def token(self, **form: str) -> httpx.Response:
        """Ask the token endpoint."""
        whole = {"client_id": "oneplatform_engage", "tenant_id": self.tenant, **form}
        return self.identity.post("/connect/token", data=whole)

    def bear(self, tokens: Mapping[str, str]) -> None:
        """Use another access token."""
        self.http.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def refresh(self) -> httpx.Response:
        """Spend the refresh token."""
        return self.token(grant_type="refresh_token", refresh_token=self.tokens["refresh_token"])

    def route(
        self, key: str = "chat", queue: str = "support", items: Sequence[Mapping[str, object]] = ()
    ) -> httpx.Response:
        """Ask for an agent."""
        path = f"/api/conversation/{quote(key, safe='')}/route/{quote(queue, safe='')}"
        return self.http.put(path, json=list(items))

    def status(self, key: str = "chat") -> httpx.Response:
        """Ask how the search goes."""
        return self.http.get(f"/api/allocation/requestStatus/{key}")

    def say(self, text: str, key: str = "chat") -> httpx.Response:
        """Write to the agent."""
        return self.http.post(f"/api/conversation/{key}/message", json={"content": text})

    def end(self, key: str = "chat") -> httpx.Response:
        """End the chat."""
        return self.http.post(f"/api/conversation/{key}/end")

    def poll(self, after: object = None) -> httpx.Response:
        """Poll."""
        return self.http.get("/api/conversation", params={} if after is None else {"after": str(after)})

    def close(self) -> None:
        """Close the connections."""
        self.identity.close()
        self.http.close()


def texts(response: httpx.Response) -> list[str]:
    """Return the texts of a poll."""
    return [message["content"] for message in response.json()["messages"] if message["type"] == "Text"]
