"""Write counter.json: what a terminal that is alone shows to scan after scan, for every language.

    python tests/vectors/make_counter_vectors.py

Each story is played by a real terminal with real files. Moments are milliseconds since 1970. What
is made by chance is left out: ids of redemptions, and the digits of a challenge.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from uuid import UUID

from coupon_engine.validation.issuer_keys import public_jwk
from scanner.identity import FileKey
from scanner.terminal.clock import GuardedClock
from scanner.terminal.deciding import Terminal
from scanner.terminal.holdings import HoldingRefused, Holdings
from scanner.terminal.journal import Journal
from scanner.terminal.judging import Counter
from scanner.terminal.showing import Screen
from schemas.baskets import Basket, Line
from schemas.campaigns import Level, OfflinePolicy
from schemas.offers import BuyXGetY, OpenHours, PercentOff, Terms, Weekday
from schemas.offline import Bundle, BundleOffer
from schemas.token import CouponFields
from tests.scanner.terminal import shop
from tests.scanner.terminal.shop import STORE, STORE_NUMBER, TERMINAL, Hands, campaign, terms, total
from tests.vectors import make_token_vectors as tokens
from tests.vectors.make_judge_vectors import compact, told
from tests.vectors.make_token_vectors import REGIONAL, SECOND, packed, unpacked

FILE = Path(__file__).with_name("counter.json")
SERVER = REGIONAL  # a key whose every signature is the same each time
A_DAY = timedelta(days=1)


class Story:
    """A terminal and the server's word to it; writes down what happens."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.hands = Hands()
        self.steps: list[dict[str, Any]] = []
        self._issued = 0
        self._holdings = Holdings(
            folder / "held", shop.jwk(SERVER), terminal_id=TERMINAL, store_id=STORE
        )
        self._journal = Journal(
            folder / "journal.db", FileKey.kept_in(folder / "key.pem"), TERMINAL
        )
        clock = GuardedClock(lambda: self.hands.wall, lambda: self.hands.steady)
        self._counter = Counter(self._holdings, self._journal, clock)
        self._terminal = Terminal(
            cast("Any", None),
            self._counter,
            id=TERMINAL,
            store_id=STORE,
            steady=lambda: self.hands.steady,
        )
        self._terminal.stay_alone()

    def close(self) -> None:
        self._journal.close()

    def learns(self, bundle: Bundle | None = None, **changes: Any) -> None:
        """Tell the terminal a bundle; the usual one, but for these changes."""
        jwt = signed(shop.bundle_jwt(bundle or shop.bundle(**changes), SERVER))
        self._step("bundle", jwt, lambda: self._holdings.learn_bundle(jwt, self._now()))

    def hears(self, *places: int, **changes: Any) -> None:
        """Tell the terminal a status list in which these places are set."""
        jwt = signed(shop.list_jwt(places, key=SERVER, **changes))
        self._step("list", jwt, lambda: self._holdings.learn_list(jwt, self._now()))

    def scans(self, text: str, basket: Basket | None = None, order_ref: str | None = None) -> None:
        screen = self._terminal.redeem(text, basket=basket, order_ref=order_ref)
        scan = {"text": text, "basket": told(basket), "order_ref": order_ref}
        self._write({"scan": scan, "screen": shown(screen)})

    def coupon(
        self, offline: OfflinePolicy = OfflinePolicy.DEVICE_QUOTA, **changes: Any
    ) -> CouponFields:
        self._issued += 1
        jti = UUID(int=(0x0199B1A2 << 96) + self._issued).bytes
        return shop.coupon(offline, jti=jti, **changes)

    def code(self, *args: Any, **changes: Any) -> str:
        return shop.shown(self.coupon(*args, **changes))

    def _now(self) -> Any:
        return self._counter.look().now

    def _step(self, name: str, jwt: str, learn: Callable[[], object]) -> None:
        try:
            learn()
        except HoldingRefused:
            self._write({name: jwt, "is_taken": False})
        else:
            self._write({name: jwt, "is_taken": True})

    def _write(self, step: dict[str, Any]) -> None:
        hands = {"wall": told(self.hands.wall), "steady": round(self.hands.steady * 1_000)}
        self.steps.append({**hands, **step})


def signed(jwt: str) -> str:
    return tokens.steady(jwt, SERVER)


def shown(screen: Screen) -> dict[str, Any]:
    plain = screen.model_dump(mode="json", exclude={"redemption_id", "challenge"})
    text = json.dumps(plain, ensure_ascii=False)
    if screen.challenge is not None:
        text = re.sub(screen.challenge, "....", text)
    return json.loads(text)


# The stories.


def once(story: Story) -> None:
    """A coupon is accepted once, and later the cashier hears when."""
    story.learns()
    story.hears()
    code = story.code()
    story.scans(code, total(2_000))
    story.scans(code, total(2_000))
    story.hands.pass_by(hours=11)
    story.scans(f" {code}\n")


def forgeries(story: Story) -> None:
    """Whatever is no coupon of ours takes nothing off, and all forgeries sound alike."""
    story.learns()
    story.hears()
    code = story.code()
    raw = unpacked(code)
    story.scans(packed("CP1A", raw[:-64], bytes(63) + b"\1"))
    story.scans(f"CP1Z{code[4:]}")
    story.scans(packed("CP1A", b"\x87" + bytes(70), raw[-64:]))
    story.scans(code[:-1] + ("0" if code[-1] != "0" else "1"))
    for text in tokens.HOSTILE[:6]:
        story.scans(text)
    story.scans(tokens.short_codes()["codes"][0]["code"])


def live(story: Story) -> None:
    """A phone's proof counts for its seconds, and a picture of it for nothing."""
    story.learns()
    story.hears()
    fields = story.coupon(level=Level.HOLDER_SIGNED)
    story.scans(shop.presented(fields, seconds_ago=-61))
    story.scans(shop.presented(fields, seconds_ago=121))
    story.scans(shop.presented(fields, tokens.ISSUER))
    static = {"level": Level.HOLDER_SIGNED}
    story.scans(tokens.shown(tokens.fields(story.coupon().policy.model_copy(update=static), sto=0)))
    story.scans(shop.presented(fields))
    story.scans(shop.presented(fields))
    story.scans(shop.presented(story.coupon(level=Level.CHALLENGED)))


def policies(story: Story) -> None:
    """What each policy lets a terminal decide, with the store's authority and without."""
    for ver, is_authority in ((10, False), (11, True)):
        for offline in OfflinePolicy:
            told_campaign = campaign(offline)
            at = 10 * ver + list(OfflinePolicy).index(offline)
            story.learns(shop.bundle(told_campaign, ver=at, is_authority=is_authority))
            story.hears(ver=1_000 + at)
            story.scans(story.code(offline, exp=SECOND + 3_600))
            story.scans(story.code(offline, sto=STORE_NUMBER, exp=SECOND + 3_600))
            story.scans(story.code(offline, sto=STORE_NUMBER + 1))
            story.scans(story.code(offline, sto=STORE_NUMBER, exp=SECOND + 7_201))


def allowance(story: Story) -> None:
    """Two coupons, or ten euros, and no more under this lease."""
    story.learns(shop.bundle(campaign(max_count=2)))
    story.hears()
    for _ in range(3):
        story.scans(story.code())
    story.learns(shop.bundle(campaign(max_minor=1_499), ver=11))
    story.scans(story.code())


def listed(story: Story) -> None:
    """What the list has works no more; without a list nobody knows."""
    story.learns()
    story.scans(story.code())
    story.hears(100, 7)
    story.scans(story.code())
    story.scans(story.code(idx=101))
    story.hears(101, since=1_000, ver=1_001, cleared=(100,))
    story.scans(story.code())
    story.scans(story.code(idx=101))
    story.hears(ver=999)
    story.hears(5, since=2_000, ver=2_001)
    story.hears(sub="https://elsewhere.example/sl/48213")
    story.scans(story.code(cmp=48_214))


def clocks(story: Story) -> None:
    """A clock that was set back decides nothing, and a lease ends."""
    story.learns()
    story.hears()
    story.hands.pass_by(hours=1)
    story.scans(story.code())
    story.hands.wall -= timedelta(minutes=1)
    story.scans(story.code(exp=SECOND + 3_600))
    story.hands.wall -= timedelta(minutes=2)
    story.scans(story.code())
    story.hands.wall += timedelta(minutes=3)
    story.scans(story.code(nbf=SECOND + 3_601))
    story.scans(story.code(exp=SECOND + 3_600))
    story.scans(story.code(exp=SECOND - 40 * 86_400, nbf=SECOND - 50 * 86_400))
    story.hands.pass_by(hours=11)
    story.scans(story.code())
    story.scans(f"CP1Z{story.code()[4:]}")
    story.learns(ver=9)
    story.learns(ver=12)


def conditions(story: Story) -> None:
    """The judge's no is the terminal's no."""
    ver = 10
    asked: list[tuple[Terms, Basket | None]] = [
        (terms(minimum_basket_minor=2_000), total(1_500)),
        (terms(products=("tea",)), total(1_500)),
        (terms(products=("tea",)), lines(("coffee", 1, 250))),
        (terms(BuyXGetY(buy=2, get=1), products=("tea",)), lines(("tea", 2, 250))),
        (terms(BuyXGetY(buy=2, get=1), products=("tea",)), lines(("tea", 2, 250), ("tea", 2, 99))),
        (terms(PercentOff(percent_off_bp=1_000)), lines(("tea", 1, 333), ("coffee", 1, 333))),
        (terms(PercentOff(percent_off_bp=1_000)), None),
        (terms(hours=(at_night(),)), total(100)),
        (terms(segments=("vip",)), total(100)),
        (terms(), Basket(currency="USD", total_minor=100)),
        (terms(), total(0)),
    ]
    for ver, (told_terms, basket) in enumerate(asked, start=10):
        offers = (BundleOffer(quota_class=5, id=shop.OFFER, terms=told_terms),)
        story.learns(shop.bundle(campaign(offers=offers), ver=ver))
        story.hears(ver=ver)
        story.scans(story.code(), basket)
    story.learns(shop.bundle(campaign(is_paused=True), ver=ver + 1))
    story.scans(story.code())


def receipts(story: Story) -> None:
    """Coupons that share a receipt see what the others took, and the same basket."""
    tenth = terms(PercentOff(percent_off_bp=1_000), exclusivity_groups=("one",))
    early = terms(PercentOff(percent_off_bp=333), stacking_order=100)
    offers = (
        BundleOffer(quota_class=5, id=shop.OFFER, terms=tenth),
        BundleOffer(quota_class=6, id=UUID(int=6), terms=early),
        BundleOffer(quota_class=7, id=UUID(int=7), terms=terms()),
    )
    story.learns(shop.bundle(campaign(offers=offers)))
    story.hears()
    basket = lines(("tea", 3, 333), ("coffee", 1, 1_001))
    story.scans(story.code(), basket, "r-1")
    story.scans(story.code(policy={"quota_class": 7}), basket, "r-1")
    story.scans(story.code(), basket, "r-1")
    story.scans(story.code(policy={"quota_class": 6}), basket, "r-1")
    story.scans(story.code(policy={"quota_class": 7}), lines(("tea", 1, 333)), "r-1")
    story.scans(story.code(), basket, "r-2")


def lines(*told_lines: tuple[str, int, int]) -> Basket:
    return Basket(
        currency="EUR",
        lines=tuple(
            Line(product=product, quantity=quantity, unit_price_minor=price)
            for product, quantity, price in told_lines
        ),
    )


def at_night() -> OpenHours:
    return OpenHours.model_validate(
        {"weekdays": tuple(Weekday), "from_time": "22:00", "until_time": "02:00"}
    )


STORIES = (
    once,
    forgeries,
    live,
    policies,
    allowance,
    listed,
    clocks,
    conditions,
    receipts,
)


def told_stories() -> Iterator[dict[str, Any]]:
    for tell in STORIES:
        with TemporaryDirectory() as folder:
            assert tell.__doc__
            story = Story(Path(folder), tell.__doc__)
            try:
                tell(story)
            finally:
                story.close()
        yield {"name": story.name, "steps": story.steps}


def written() -> str:
    head = {
        "terminal_id": str(TERMINAL),
        "store_id": str(STORE),
        "server_key": {name: public_jwk(SERVER)[name] for name in ("kty", "crv", "x", "y")},
    }
    stories = ",\n".join(
        f'{{"name":{compact(story["name"])},"steps":[\n'
        + ",\n".join(compact(step) for step in story["steps"])
        + "\n]}"
        for story in told_stories()
    )
    return f'{{\n"holder":{compact(head)},\n"stories":[\n{stories}\n]\n}}\n'


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
