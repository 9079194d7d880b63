"""A wallet begins with a key and nothing else, and sees what is its own and nothing else."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, col, func, select

from coupon_engine.acting import on_showing
from coupon_engine.customers import contacts, passcodes, wallets
from coupon_engine.database import looking, transaction
from coupon_engine.errors import (
    ClaimLimitReached,
    ContactNeeded,
    HolderKeyInvalid,
    NotSignedIn,
    PasscodeNeeded,
    ProofInvalid,
    RequestReused,
    TermsMismatch,
    TooManyHolderKeys,
    TooManyTries,
    Unknown,
)
from coupon_engine.tables import Contact, Coupon, Customer, Event, Tries, Wallet
from schemas.campaigns import BatchView, Level
from schemas.coupons import CouponView
from schemas.offers import (
    AmountOff,
    Benefit,
    GiftBalance,
    LimitOf,
    LimitPer,
    LimitRule,
    PercentOff,
)
from schemas.wallets import ContactKind, NewContact, NewRebind, NewWalletClaim, WalletView
from tests import make
from tests.coupon_engine.customers import phone
from tests.coupon_engine.customers.phone import HOME, VAULT, Phone
from tests.make import NOON, SECRET


def test_a_wallet_begins_with_a_key_and_nothing_personal(session: Session) -> None:
    at, mine = make.shop(session), Phone()

    made = phone.wallet(session, at, mine)

    customer = session.get_one(Customer, (at.operator_id, made.customer_id))
    assert customer.ref == f"w-{customer.id}"
    assert session.exec(select(Contact)).all() == []
    key = wallets.key_of(session, made.id)
    assert key == wallets.WalletKey(at.operator_id, made.customer_id, mine.public_key)


def test_asking_again_with_the_same_key_returns_the_same_wallet(session: Session) -> None:
    at, mine = make.shop(session), Phone()

    first = phone.wallet(session, at, mine)
    again = phone.wallet(session, at, mine, now=NOON + timedelta(days=1))

    assert again == first
    assert session.exec(select(func.count()).select_from(Customer)).one() == 1


def test_a_wallet_is_found_by_its_id_by_whoever_was_shown_it_and_by_no_other(
    database: Engine, limited: Engine
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
    with transaction(limited) as session:
        made = phone.wallet(session, at)
        other = phone.wallet(session, at)

    with looking(limited, on_showing(str(made.id))) as session:
        assert wallets.key_of(session, made.id) is not None
        assert wallets.key_of(session, other.id) is None


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_proof_is_good_for_five_minutes(session: Session, minutes: int) -> None:
    at = make.shop(session)
    asked = Phone().asks(at.slug, at=NOON + timedelta(minutes=minutes))

    with pytest.raises(ProofInvalid):
        wallets.register(session, asked, network=HOME, vault=VAULT, now=NOON)

    assert session.exec(select(Wallet)).all() == []


def test_nobody_makes_a_wallet_for_a_strangers_key(session: Session) -> None:
    at, mine, theirs = make.shop(session), Phone(), Phone()
    asked = mine.asks(at.slug, holder_key=theirs.holder_key)

    with pytest.raises(ProofInvalid) as refused:
        wallets.register(session, asked, network=HOME, vault=VAULT, now=NOON)

    assert refused.value.is_answered  # so that the try stays counted
    assert session.exec(select(Wallet)).all() == []


def test_a_proof_for_one_operator_is_none_for_another(session: Session) -> None:
    at, elsewhere = make.shop(session), make.shop(session)
    asked = Phone().asks(at.slug, operator=elsewhere.slug)

    with pytest.raises(ProofInvalid):
        wallets.register(session, asked, network=HOME, vault=VAULT, now=NOON)


def test_a_key_off_the_curve_is_refused(session: Session) -> None:
    at = make.shop(session)
    asked = Phone().asks(at.slug, holder_key="Av" + "_" * 42)

    with pytest.raises(HolderKeyInvalid):
        wallets.register(session, asked, network=HOME, vault=VAULT, now=NOON)


def test_thirty_wallets_an_hour_come_from_one_network(session: Session) -> None:
    at = make.shop(session)
    for _ in range(wallets.WALLETS_PER_NETWORK):
        phone.wallet(session, at)

    with pytest.raises(TooManyTries):
        phone.wallet(session, at)

    phone.wallet(session, at, network="203.0.113.8")
    phone.wallet(session, at, now=NOON + timedelta(hours=1))


def test_no_row_tells_from_which_network_somebody_came(session: Session) -> None:
    phone.wallet(session, make.shop(session))

    assert session.exec(select(Tries)).all() != []
    assert not [row for row in session.exec(select(Tries)) if HOME in row.key]


def test_a_claimed_coupon_is_bound_to_the_wallets_own_key(session: Session) -> None:
    at, mine = make.shop(session), Phone()
    made = phone.wallet(session, at, mine)

    coupon = claim(session, at, made, batch(session, at))

    row = session.get_one(Coupon, (at.operator_id, coupon.id))
    assert (row.customer_id, row.holder_key) == (made.customer_id, mine.public_key)


def test_a_wallet_shows_its_own_coupons_page_by_page(session: Session) -> None:
    at = make.shop(session)
    mine, theirs, of = phone.wallet(session, at), phone.wallet(session, at), batch(session, at)
    own = [claim(session, at, mine, of).id for _ in range(3)]
    claim(session, at, theirs, of)

    first = holdings(session, at, mine, most=2)
    rest = holdings(session, at, mine, most=2, after=first[-1].id)

    assert [coupon.id for coupon in (*first, *rest)] == own


def test_a_strangers_coupon_is_as_unknown_as_none(session: Session) -> None:
    at = make.shop(session)
    ring = make.signing_key(session, at)
    mine, theirs = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claim(session, at, theirs, batch(session, at))
    known = wallets.token(
        session, at.operator_id, theirs.id, coupon.id, ring, code_secret=SECRET, now=NOON
    )

    with pytest.raises(Unknown) as refused:
        wallets.token(
            session, at.operator_id, mine.id, coupon.id, ring, code_secret=SECRET, now=NOON
        )
    with pytest.raises(Unknown) as never:
        wallets.token(session, at.operator_id, mine.id, mine.id, ring, code_secret=SECRET, now=NOON)
    with pytest.raises(Unknown):
        rebind(session, at, mine, coupon)

    assert known.coupon_id == coupon.id
    assert refused.value.details == {"kind": "coupon", "id": str(coupon.id)}
    assert never.value.details == {"kind": "coupon", "id": str(mine.id)}


def test_a_coupon_that_came_along_is_bound_to_the_new_phone(session: Session) -> None:
    at, new = make.shop(session), Phone()
    old_wallet = phone.wallet(session, at)
    coupon = claim(session, at, old_wallet, batch(session, at))
    new_wallet = phone.wallet(session, at, new)
    wallets.move(
        session, new_wallet.id, old_wallet.customer_id, operator_id=at.operator_id, now=NOON
    )

    rebind(session, at, new_wallet, coupon)

    row = session.get_one(Coupon, (at.operator_id, coupon.id))
    assert row.holder_key == new.public_key


@dataclass(frozen=True)
class TwoPhones:
    """Of one customer, who has shown hours ago that a number is their own."""

    at: make.Shop
    first: WalletView
    second: WalletView


@pytest.fixture
def family(session: Session) -> TwoPhones:
    at = make.shop(session)
    first, second = phone.wallet(session, at), phone.wallet(session, at)
    phone.verified(session, at, first, now=NOON - timedelta(hours=3))
    moved = phone.verified(session, at, second, now=NOON - timedelta(hours=1))
    assert moved.wallet.customer_id == first.customer_id
    return TwoPhones(at, first, moved.wallet)


def test_the_last_move_of_a_coupon_takes_a_code_to_the_customers_number(
    session: Session, family: TwoPhones
) -> None:
    coupon = claim(session, family.at, family.first, batch(session, family.at))
    rebind(session, family.at, family.second, coupon)
    rebind(session, family.at, family.first, coupon)

    with pytest.raises(PasscodeNeeded) as refused:
        rebind(session, family.at, family.second, coupon)
    assert refused.value.is_answered
    phone.verified(session, family.at, family.second)
    rebind(session, family.at, family.second, coupon)

    row = session.get_one(Coupon, (family.at.operator_id, coupon.id))
    assert row.holder_changes == 3
    with pytest.raises(TooManyHolderKeys):
        rebind(session, family.at, family.first, coupon)


@pytest.mark.parametrize(
    ("benefit", "is_easy"),
    [
        (AmountOff(amount_minor=2_000), True),
        (AmountOff(amount_minor=2_001), False),
        (PercentOff(percent_off_bp=1_000, cap_minor=2_000), True),
        (PercentOff(percent_off_bp=1_000, cap_minor=2_001), False),
        (PercentOff(percent_off_bp=1_000), False),
        (GiftBalance(balance_minor=2_000), True),
        (GiftBalance(balance_minor=2_001), False),
    ],
)
def test_what_is_worth_much_never_moves_without_one(
    session: Session, family: TwoPhones, benefit: Benefit, is_easy: bool
) -> None:
    of = batch(session, family.at, benefit=benefit)
    coupon = claim(session, family.at, family.first, of)

    if not is_easy:
        with pytest.raises(PasscodeNeeded):
            rebind(session, family.at, family.second, coupon)
        phone.verified(session, family.at, family.second)
    rebind(session, family.at, family.second, coupon)

    assert session.get_one(Coupon, (family.at.operator_id, coupon.id)).holder_changes == 1


def test_the_code_that_brought_a_phone_along_lets_its_coupons_move(session: Session) -> None:
    at = make.shop(session)
    old, new = phone.wallet(session, at), phone.wallet(session, at)
    phone.verified(session, at, old, now=NOON - timedelta(hours=3))
    coupon = claim(session, at, old, batch(session, at, benefit=AmountOff(amount_minor=9_000)))

    moved = phone.verified(session, at, new).wallet
    rebind(session, at, moved, coupon)

    assert session.get_one(Coupon, (at.operator_id, coupon.id)).holder_changes == 1


def test_a_code_proves_as_long_as_it_would_have_worked(session: Session, family: TwoPhones) -> None:
    of = batch(session, family.at, benefit=AmountOff(amount_minor=9_000))
    one, other = (claim(session, family.at, family.first, of) for _ in range(2))
    phone.verified(session, family.at, family.second)
    over = NOON + passcodes.LASTS

    rebind(session, family.at, family.second, one, now=over - timedelta(seconds=1))
    with pytest.raises(PasscodeNeeded):
        rebind(session, family.at, family.second, other, now=over)


@pytest.mark.parametrize("whose", ["the other phone", "a new address", "not answered"])
def test_this_proves_nothing(session: Session, family: TwoPhones, whose: str) -> None:
    """A thief who has the phone may add a number of their own."""
    of = batch(session, family.at, benefit=AmountOff(amount_minor=9_000))
    coupon = claim(session, family.at, family.first, of)
    match whose:
        case "the other phone":
            phone.verified(session, family.at, family.first)
        case "a new address":
            phone.verified(session, family.at, family.second, to="+4915123456780")
        case _:
            phone.passcode(session, family.at, family.second)

    with pytest.raises(PasscodeNeeded):
        rebind(session, family.at, family.second, coupon)


def test_a_claim_that_is_repeated_costs_nothing_and_gets_the_first_answer(
    session: Session,
) -> None:
    at = make.shop(session)
    made, of = phone.wallet(session, at), batch(session, at)
    asked = NewWalletClaim(id=make.an_id(), batch_id=of.id)

    answers = {
        wallets.claim(
            session,
            at.operator_id,
            made.id,
            asked,
            network=HOME,
            vault=VAULT,
            code_secret=SECRET,
            now=NOON,
        ).id
        for _ in range(wallets.CLAIMS_PER_WALLET + 5)
    }

    assert len(answers) == 1
    assert tries(session, at, f"claims 1 {made.id}") == 1


def test_one_wallet_cannot_have_the_answer_to_anothers_claim(session: Session) -> None:
    at = make.shop(session)
    mine, theirs, of = phone.wallet(session, at), phone.wallet(session, at), batch(session, at)
    asked = NewWalletClaim(id=make.an_id(), batch_id=of.id)
    claim(session, at, theirs, of, asked=asked)

    with pytest.raises(RequestReused):
        claim(session, at, mine, of, asked=asked)


def test_ten_short_codes_an_hour_can_be_guessed_by_one_wallet(session: Session) -> None:
    at = make.shop(session)
    made = phone.wallet(session, at)
    coupon = make.coupon(session, at, batch(session, at, Level.STATIC, has_short_codes=True))
    for _ in range(wallets.GUESSES_PER_WALLET):
        with pytest.raises(Unknown):
            claim(session, at, made, short_code="0000-0000-0000")

    with pytest.raises(TooManyTries):
        claim(session, at, made, short_code=coupon.short_code)

    assert session.get_one(Coupon, (at.operator_id, coupon.id)).customer_id is None


def test_short_codes_are_not_guessed_with_more_wallets_from_one_network(session: Session) -> None:
    at = make.shop(session)
    for _ in range(wallets.GUESSES_PER_NETWORK):
        with pytest.raises(Unknown):
            claim(session, at, phone.wallet(session, at), short_code="0000-0000-0000")

    with pytest.raises(TooManyTries):
        claim(session, at, phone.wallet(session, at), short_code="0000-0000-0000")


def test_a_short_code_is_claimed_once(session: Session) -> None:
    at = make.shop(session)
    coupon = make.coupon(session, at, batch(session, at, Level.STATIC, has_short_codes=True))

    claimed = claim(session, at, phone.wallet(session, at), short_code=coupon.short_code)
    with pytest.raises(Unknown):  # as of a code that never was
        claim(session, at, phone.wallet(session, at), short_code=coupon.short_code)

    assert claimed.id == coupon.id


def test_a_claim_names_a_batch_or_a_short_code(session: Session) -> None:
    at = make.shop(session)
    made = phone.wallet(session, at)

    with pytest.raises(TermsMismatch):
        claim(session, at, made)


@pytest.mark.parametrize("has_short_codes", [False, True])
def test_a_batch_may_ask_for_a_verified_contact(session: Session, has_short_codes: bool) -> None:
    at = make.shop(session)
    of = batch(session, at, Level.STATIC, needs_contact=True, has_short_codes=has_short_codes)
    code = make.coupon(session, at, of).short_code
    named: dict[str, Any] = {"short_code": code} if has_short_codes else {"of": of}
    nobody, somebody = phone.wallet(session, at), phone.wallet(session, at)
    phone.verified(session, at, somebody)

    with pytest.raises(ContactNeeded) as refused:
        claim(session, at, nobody, **named)
    claimed = claim(session, at, somebody, **named)

    assert refused.value.is_answered  # so that the try stays counted
    assert claimed.customer_id == somebody.customer_id


def test_a_contact_that_was_only_told_is_not_verified(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    told = NewContact(customer_id=mine.customer_id, kind=ContactKind.PHONE, value=phone.MOBILE)
    contacts.tell(session, at.operator_id, told, vault=VAULT, now=NOON)

    with pytest.raises(ContactNeeded):
        claim(session, at, mine, batch(session, at, needs_contact=True))


def test_a_wallet_that_has_ended_opens_nothing(session: Session) -> None:
    at = make.shop(session)
    made, of = phone.wallet(session, at), batch(session, at)
    row = session.get_one(Wallet, (at.operator_id, made.id))
    wallets.end(session, row, why="lost", now=NOON)
    session.flush()

    assert wallets.key_of(session, made.id) is None
    with pytest.raises(NotSignedIn):
        holdings(session, at, made)
    with pytest.raises(NotSignedIn):
        claim(session, at, made, of)


def test_a_coupon_that_changes_hands_in_a_move_says_so_in_its_story(session: Session) -> None:
    at = make.shop(session)
    known, nobody = phone.wallet(session, at), phone.wallet(session, at)
    coupon = claim(session, at, nobody, batch(session, at))

    wallets.move(session, nobody.id, known.customer_id, operator_id=at.operator_id, now=NOON)

    story = session.exec(
        select(Event).where(col(Event.subject_id) == coupon.id, col(Event.kind) != "coupon_issued")
    ).one()
    assert (story.kind, story.data) == (
        "coupon_transferred",
        {"from": str(nobody.customer_id), "to": str(known.customer_id)},
    )


def test_coupons_stay_with_a_customer_who_has_another_phone(session: Session) -> None:
    at = make.shop(session)
    first, second = phone.wallet(session, at), phone.wallet(session, at)
    wallets.move(session, second.id, first.customer_id, operator_id=at.operator_id, now=NOON)
    coupon = claim(session, at, first, batch(session, at))
    third = phone.wallet(session, at)

    moved = wallets.move(
        session, second.id, third.customer_id, operator_id=at.operator_id, now=NOON
    )

    assert moved == 0
    row = session.get_one(Coupon, (at.operator_id, coupon.id))
    assert row.customer_id == first.customer_id


def test_scripted_sign_ups_take_no_more_than_the_cap_however_many_come(session: Session) -> None:
    """Throw-away wallets from four addresses within an hour, each after a coupon of 2.00 EUR.

    A thousand are tried here. Those beyond the limit are refused before anything else is looked
    at and change no row, so that ten thousand end where the first hundred and twenty did.
    """
    addresses = [f"203.0.113.{number}" for number in range(4)]
    at = make.shop(session)
    of = batch(session, at, limits=(each_customer(1),))
    first = sign_ups(session, at, addresses, 4 * wallets.WALLETS_PER_NETWORK)
    before = every_try(session)
    more = sign_ups(session, at, addresses, 880)
    claimed = sum(takes_one(session, at, wallet, of, address) for wallet, address in first)

    assert (len(first), more) == (120, [])
    assert before == {key: many for key, many in every_try(session).items() if key in before}
    assert claimed == 4 * wallets.CLAIMS_PER_NETWORK
    assert 200 * claimed == 16_000  # 160 EUR lost, where 10,000 coupons would have been 20,000


def sign_ups(
    session: Session, at: make.Shop, addresses: list[str], many: int
) -> list[tuple[WalletView, str]]:
    """Sign up so often, from one address after the other; return what was let in, from where."""
    made: list[tuple[WalletView, str]] = []
    for number in range(many):
        address = addresses[number % len(addresses)]
        asked = Phone().asks(at.slug)
        with suppress(TooManyTries):
            wallet = wallets.register(session, asked, network=address, vault=VAULT, now=NOON)
            made.append((wallet, address))
    return made


def every_try(session: Session) -> dict[str, int]:
    return {row.key: row.count for row in session.exec(select(Tries))}


def takes_one(
    session: Session, at: make.Shop, wallet: WalletView, of: BatchView, address: str
) -> bool:
    try:
        claim(session, at, wallet, of, network=address)
    except (TooManyTries, ClaimLimitReached):
        return False
    return True


def each_customer(most: int) -> LimitRule:
    return LimitRule(of=LimitOf.ISSUE, per=LimitPer.CUSTOMER, max_count=most)


def batch(
    session: Session,
    at: make.Shop,
    level: Level = Level.HOLDER_SIGNED,
    *,
    limits: tuple[LimitRule, ...] = (),
    benefit: Benefit | None = None,
    **more: Any,
) -> BatchView:
    campaign = make.campaign(session, at, level=level)
    offer = make.offer(session, at, campaign, limits=limits, benefit=benefit)
    return make.batch(session, at, offer, **more)


def claim(
    session: Session,
    at: make.Shop,
    wallet: WalletView,
    of: BatchView | None = None,
    *,
    short_code: str | None = None,
    asked: NewWalletClaim | None = None,
    network: str = HOME,
) -> CouponView:
    asked = asked or NewWalletClaim(
        id=make.an_id(), batch_id=of.id if of else None, short_code=short_code
    )
    return wallets.claim(
        session,
        at.operator_id,
        wallet.id,
        asked,
        network=network,
        vault=VAULT,
        code_secret=SECRET,
        now=NOON,
    )


def rebind(
    session: Session,
    at: make.Shop,
    wallet: WalletView,
    coupon: CouponView,
    *,
    now: datetime = NOON,
) -> CouponView:
    asked = NewRebind(id=make.an_id(), coupon_id=coupon.id)
    return wallets.rebind(session, at.operator_id, wallet.id, asked, code_secret=SECRET, now=now)


def holdings(
    session: Session, at: make.Shop, wallet: WalletView, *, most: int = 10, after: object = None
) -> tuple[CouponView, ...]:
    return wallets.holdings(
        session,
        at.operator_id,
        wallet.id,
        after=after,  # pyright: ignore[reportArgumentType]
        most=most,
        vault=VAULT,
        code_secret=SECRET,
        now=NOON,
    ).coupons


def tries(session: Session, at: make.Shop, key: str) -> int:
    row = session.get(Tries, (at.operator_id, key))
    return row.count if row else 0
