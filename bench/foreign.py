"""Does the time of a no tell whether an id is another operator's or nobody's?

    python -m bench.foreign --each 300

One operator's program asks the open door for things of another operator and for things that never
were, in random order. For each endpoint it prints the medians and p: how often chance alone would
part the times as far. A first look at unknown ids is compared with a second one in the same way,
so that the figures show what chance does on this machine.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import typer

from bench import door, shop
from bench.chance import told
from bench.shop import Shop
from schemas.ids import new_id

EACH = 300
WARM_UP = 20

# What is asked about an id: a path, and a body where something is to be written.
Ask = Callable[[UUID], tuple[str, Mapping[str, Any] | None]]


def main(each: Annotated[int, typer.Option(help="Questions of each kind.")] = EACH) -> None:
    """Measure how long a no takes, for ids of others and for ids of nobody."""
    now = datetime.now(UTC)
    with shop.durable_database() as database:
        engine = database.engine
        at = shop.open_shop(engine, now=now)
        other = shop.open_shop(engine, slug="other", now=now)
        batch_id = shop.new_batch(engine, other, now=now)
        coupon_ids = shop.new_coupons(engine, other, batch_id, each, now=now)
        theirs: Mapping[str, list[UUID]] = {
            "coupon": coupon_ids,
            "campaign": [other.campaign_id] * each,
            "batch": [batch_id] * each,
            "store": [other.store_id] * each,
        }
        with door.opened(database.settings, workers=1) as opened:
            for what, (kind, ask) in _questions().items():
                ids = {
                    "unknown": _unknown(theirs[kind], now),
                    "unknown again": _unknown(theirs[kind], now),
                    "foreign": theirs[kind],
                }
                print(told(what, _asked(opened.url, at, ids, ask)), end="\n\n")


def _unknown(known: list[UUID], now: datetime) -> list[UUID]:
    """Return ids of nobody, repeated as the known ones are: what was just looked for is warm."""
    ids = {id: new_id(now) for id in known}
    return [ids[id] for id in known]


def _questions() -> Mapping[str, tuple[str, Ask]]:
    """Return what is asked, and of which kind of id."""

    def look(path: str) -> Ask:
        return lambda id: (path.format(id=id), None)

    def revoke(id: UUID) -> tuple[str, Mapping[str, Any]]:
        return "/v1/revocations", {"id": _id(), "coupon_id": str(id), "reason": "lost"}

    def issue(id: UUID) -> tuple[str, Mapping[str, Any]]:
        return "/v1/coupons", {"id": _id(), "batch_id": str(id)}

    def add_a_terminal(id: UUID) -> tuple[str, Mapping[str, Any]]:
        return "/v1/terminals", {"id": _id(), "store_id": str(id), "name": "Till"}

    return {
        "read a coupon": ("coupon", look("/v1/coupons/{id}")),
        "read its story": ("coupon", look("/v1/coupons/{id}/story")),
        "read a campaign": ("campaign", look("/v1/campaigns/{id}")),
        "read a batch": ("batch", look("/v1/batches/{id}")),
        "revoke a coupon": ("coupon", revoke),
        "issue from a batch": ("batch", issue),
        "a till for a store": ("store", add_a_terminal),
    }


def _asked(url: str, at: Shop, ids: Mapping[str, list[UUID]], ask: Ask) -> dict[str, list[float]]:
    questions = [(name, id) for name, of_name in ids.items() for id in of_name]
    random.Random(1).shuffle(questions)
    took: dict[str, list[float]] = {name: [] for name in ids}
    answers: set[bytes] = set()
    for number, (name, id, (milliseconds, answer)) in enumerate(_answers(url, at, questions, ask)):
        answers.add(answer.replace(str(id).encode(), b"ID"))
        if number >= WARM_UP:
            took[name].append(milliseconds)
    assert len(answers) == 1, answers  # the same words for all
    return took


def _answers(
    url: str, at: Shop, questions: list[tuple[str, UUID]], ask: Ask
) -> Iterator[tuple[str, UUID, tuple[float, bytes]]]:
    connection = HTTPConnection(urlsplit(url).netloc)
    headers = {"Authorization": f"Bearer {at.api_key}", "Content-Type": "application/json"}
    for name, id in questions:
        path, body = ask(id)
        sent = None if body is None else json.dumps(body)
        begun = time.perf_counter()
        connection.request("GET" if body is None else "POST", path, sent, headers)
        answer = connection.getresponse()
        told = answer.read()
        yield name, id, ((time.perf_counter() - begun) * 1_000, bytes([answer.status // 4]) + told)
    connection.close()


def _id() -> str:
    return str(new_id(datetime.now(UTC)))


if __name__ == "__main__":
    typer.run(main)
