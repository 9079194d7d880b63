"""Every redemption of the record, in the order of time, at the real counter's door."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx
from pydantic import ValidationError

from api.problems import Problem
from bench.demo.asking import Asker
from bench.demo.journey import Redemption
from bench.demo.pictures import Draw, Read
from bench.demo.staging import Held, Kind, World, held, id_of
from coupon_engine.validation.token_refused import TokenRefused
from scanner.counter import pick
from schemas.redemptions import NewRedemption, RedemptionView

REDEEMED = "redeemed"
NOT_READ = "picture_not_read"
NOT_UNDERSTOOD = "answer_not_understood"


@dataclass(frozen=True, slots=True)
class Shown:
    """A phone on the counter: what it shows, and the picture of it that is being taken."""

    redemption: Redemption
    text: str = field(repr=False)
    picture: Future[Read] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """One redemption of the record, and what became of it: `REDEEMED`, or the code of the no."""

    redemption: Redemption
    read: Read = field(repr=False)
    outcome: str
    discount_minor: int = 0
    asked: NewRedemption | None = field(default=None, repr=False)
    answer: httpx.Response | None = field(default=None, repr=False)


def show(
    asker: Asker, world: World, redemptions: Iterable[Redemption], draw: Draw
) -> Iterator[Shown]:
    """Let each phone fetch its code, signed, and begin to draw it."""
    texts: dict[Held, str] = {}
    for r in redemptions:
        coupon = held(r)
        if coupon not in texts:  # whoever comes a second time shows what they have
            texts[coupon] = asker.get(f"/v1/coupons/{world.coupons[coupon]}/token")["text"]
        yield Shown(r, texts[coupon], draw(texts[coupon]))


def redeem(asker: Asker, world: World, phone: Shown) -> Answered:
    """Redeem what the picture says, with the basket of that day."""
    r, read = phone.redemption, phone.picture.result()
    code = _scanned(read)
    if code is None or code != phone.text:
        return Answered(r, read, NOT_READ)
    asked = NewRedemption(
        id=id_of(Kind.REDEMPTION, r.row, r.at),
        code=code,
        store_id=world.stores[r.store_id],
        basket=r.basket,
        order_ref=str(r.basket_id),
    )
    answer = asker.post("/v1/redemptions", asked)
    outcome, discount_minor = _outcome(asked, answer)
    return Answered(r, read, outcome, discount_minor, asked, answer)


def _scanned(read: Read) -> str | None:
    try:
        return pick(read.texts)
    except TokenRefused:
        return None


def _outcome(asked: NewRedemption, answer: httpx.Response) -> tuple[str, int]:
    try:
        if answer.status_code == HTTPStatus.CREATED:
            view = RedemptionView.model_validate_json(answer.content)
            if view.id == asked.id:
                return REDEEMED, view.discount_minor
        elif answer.status_code == HTTPStatus.CONFLICT:
            problem = Problem.model_validate_json(answer.content)
            if problem.refusal:
                return problem.refusal.code, 0
    except ValidationError:
        pass
    return NOT_UNDERSTOOD, 0


def ask_again(asker: Asker, answers: Sequence[Answered]) -> int:
    """Send these requests once more, by the same ids; return how many got the first answer.

    Word for word, though by now the coupons are spent or over.
    """
    same = 0
    for each in answers:
        assert each.asked
        assert each.answer
        again = asker.post("/v1/redemptions", each.asked)
        first = each.answer
        same += (again.status_code, again.content) == (first.status_code, first.content)
    return same
