"""A browser at one of our pages: it keeps the cookie, and says where a request is made."""

from dataclasses import dataclass, field
from datetime import datetime
from http.cookies import SimpleCookie
from typing import Any

from httpx import Client, Response

from api.asking import cookies
from tests.api.conftest import refuse_undocumented


@dataclass
class Browser:
    """Somebody's browser. Every no that it hears must be documented."""

    client: Client
    document: dict[str, Any]
    secret: str | None = None
    set_cookies: list[str] = field(default_factory=list[str])

    @property
    def origin(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def asks(self, method: str, path: str, **more: Any) -> Response:
        headers = {"Origin": self.origin, "User-Agent": "A browser"}
        if self.secret:
            # httpx keeps to https what is `Secure`; a browser makes an exception for this machine.
            headers["Cookie"] = f"{cookies.NAME}={self.secret}"
            headers[cookies.CSRF_HEADER] = cookies.csrf_of(self.secret)
        headers |= more.pop("headers", {})
        answer = self.client.request(method, path, headers=headers, **more)
        refuse_undocumented(self.document, method, path, answer)
        for line in answer.headers.get_list("set-cookie"):
            self.set_cookies.append(line)
            self.secret = SimpleCookie(line)[cookies.NAME].value or None
        return answer

    def posts(self, path: str, body: Any = None, **more: Any) -> Response:
        return self.asks("POST", path, json={} if body is None else body, **more)

    def gets(self, path: str, **params: Any) -> Response:
        return self.asks("GET", path, params=params)

    def me(self) -> Any:
        answer = self.gets("/v1/me")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def signs_in(self, operator: str, email: str, password: str) -> Response:
        body = {"operator": operator, "email": email, "password": password}
        return self.posts("/v1/sign-ins", body)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
