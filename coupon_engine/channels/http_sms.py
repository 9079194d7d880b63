"""Short messages through whoever sends them for us: one POST, and any 2xx means that it is taken.

The body is `{"to": "+491511...", "text": "..."}`. `Idempotency-Key` is the same when it is sent
again.
"""

import httpx

from coupon_engine.channels import Message, NotSent

LONGEST_ANSWER_SECONDS = 5.0


class HttpSms:
    """Posts each message to one address, with one token."""

    def __init__(self, url: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url
        self._client = httpx.Client(
            headers=headers,
            timeout=LONGEST_ANSWER_SECONDS,
            follow_redirects=False,
            trust_env=False,
        )

    def send(self, message: Message) -> None:
        try:
            answer = self._client.post(
                self._url,
                json={"to": message.to, "text": message.text},
                headers={"Idempotency-Key": str(message.id)},
            )
        except httpx.HTTPError as error:
            raise NotSent(type(error).__name__) from None
        if not answer.is_success:
            raise NotSent(f"status {answer.status_code}")
