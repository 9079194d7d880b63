"""Wallets: a phone with a key, and what the customer who holds it may do.

A wallet begins with nothing but the public half of a key. Nobody is asked for a name, an address or
a number. Its id and that key are the credential; whose coupons are meant is never read from a
request.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from coupon_engine import (
    acting,
    activating,
    answers,
    coupons,
    events,
    guessing,
    issuing,
    operators,
    tries,
)
from coupon_engine.customers import contacts
from coupon_engine.customers.showing import shown_coupons
from coupon_engine.errors import (
    ContactNeeded,
    HolderKeyInvalid,
    NotSignedIn,
    ProofInvalid,
    TermsMismatch,
    Unknown,
)
from coupon_engine.rows import locked
from coupon_engine.sealing import Vault
from coupon_engine.tables import Batch, Contact, Coupon, Customer, Passcode, Wallet
from coupon_engine.tries import Budget
from coupon_engine.validation import short_code
from coupon_engine.validation.issuer_keys import KeyRing
from schemas.access import Actor, ActorKind, Role
from schemas.coupons import (
    ActivationView,
    HolderKey,
    NewActivation,
    NewClaim,
    NewHolderKey,
    TokenView,
)
from schemas.ids import new_id
from schemas.wallets import (
    HoldingsView,
    NewOwnActivation,
    NewRebind,
    NewWallet,
    NewWalletClaim,
    WalletCouponView,
    WalletView,
)

HOUR = timedelta(hours=1)

# What one household, one café, one operator needs in an hour, and a script would like to exceed.
WALLETS_PER_NETWORK = 30
WALLETS_PER_OPERATOR = 5_000
CLAIMS_PER_WALLET = 10
CLAIMS_PER_NETWORK = 20
CLAIMS_PER_OPERATOR = 10_000
GUESSES_PER_WALLET = 10
GUESSES_PER_NETWORK = 10

PROOF_LASTS = timedelta(minutes=5)
SEEN_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class WalletKey:
    """What a signed request is checked with, and whose it is."""

    operator_id: UUID
    customer_id: UUID
    public_key: bytes


def register(
    session: Session, request: NewWallet, *, network: str, vault: Vault, now: datetime
) -> WalletView:
    """Make a wallet for a phone's key, and an anonymous customer to hold it.

    Asking again with the same key returns the same wallet: the key is the id. The try is counted
    before anything is looked at, against the network it comes from and the whole operator.

    Raises:
        Unknown: No such operator.
        TooManyTries: Too many wallets come from there.
        HolderKeyInvalid: The key is not a point of P-256.
        ProofInvalid: Whoever asks has not signed with that key just now.
    """
    operator = operators.operator_named(session, request.operator)
    id = new_id(now)
    acting.enter(session, operator.id, actor_of(id))
    budgets = [
        Budget(f"wallets 1 {blurred(vault, network)}", WALLETS_PER_NETWORK, HOUR),
        Budget("wallets 2", WALLETS_PER_OPERATOR, HOUR),
    ]
    tries.take(session, operator.id, budgets, now=now)
    public_key = _proven(request, now=now)
    if known := _with_key(session, operator.id, public_key):
        return view(known)
    try:
        with session.begin_nested():
            wallet = _make(session, operator.id, id, public_key, now=now)
    except IntegrityError:  # the phone asked twice at once, and the other was quicker
        known = _with_key(session, operator.id, public_key)
        assert known is not None
        return view(known)
    _tell(session, "wallet_made", wallet, now)
    return view(wallet)


def key_of(session: Session, wallet_id: UUID) -> WalletKey | None:
    """Return the key of a live wallet, in a transaction that began `on_showing` its id."""
    row = session.exec(
        select(Wallet).where(col(Wallet.id) == wallet_id, col(Wallet.ended_at).is_(None))
    ).one_or_none()
    return WalletKey(row.operator_id, row.customer_id, row.public_key) if row else None


def actor_of(wallet_id: UUID) -> Actor:
    """Return how the record names who acts. No address: the record never forgets."""
    return Actor(kind=ActorKind.CUSTOMER, id=str(wallet_id), name="a wallet", role=Role.CUSTOMER)


def proof_text(operator: str, holder_key: str, at: datetime) -> bytes:
    """Return what a phone signs to show that the key is its own."""
    return f"counterfoil wallet 1\n{operator}\n{holder_key}\n{int(at.timestamp())}".encode()


def holdings(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    *,
    after: UUID | None,
    most: int,
    vault: Vault,
    code_secret: bytes,
    now: datetime,
) -> HoldingsView:
    """Return what is in the wallet: a page of its customer's coupons, and the contacts masked.

    Raises:
        NotSignedIn: The wallet has ended.
    """
    wallet = alive(session, operator_id, wallet_id)
    own = coupons.coupon_views(
        session,
        operator_id,
        batch_id=None,
        customer_id=wallet.customer_id,
        after=after,
        most=most,
        code_secret=code_secret,
        now=now,
    )
    known = contacts.views(session, operator_id, wallet.customer_id, vault=vault)
    shown = shown_coupons(session, operator_id, own, now=now)
    return HoldingsView(wallet=view(wallet), contacts=tuple(known), coupons=tuple(shown))


def claim(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewWalletClaim,
    *,
    network: str,
    vault: Vault,
    code_secret: bytes,
    now: datetime,
) -> WalletCouponView:
    """Take a coupon into the wallet, bound to its key.

    What was answered before is answered again and costs nothing. Anything else is counted first:
    against the wallet, the network it comes from and the operator; a short code also as a guess.

    Raises:
        NotSignedIn: The wallet has ended.
        TooManyTries: This wallet, or its network, or everybody, has claimed too often.
        RequestReused: This id was used for another request.
        Unknown: No such batch, or no short code that would give anything.
        NotIssuing: Campaign or batch give out nothing now.
        BatchExhausted: Batch or campaign have given out all they may.
        ClaimLimitReached: The customer has had as many as anyone may.
        TermsMismatch: Neither a batch nor a short code is named, or both are.
        ContactNeeded: The batch is for customers who have shown a number or address.
    """
    wallet = alive(session, operator_id, wallet_id)
    _see(session, wallet, now=now)
    if (request.batch_id is None) == (request.short_code is None):
        raise TermsMismatch(why="claim a coupon by its batch or by its short code")
    if not answers.given(session, operator_id, [request.id]):
        is_guess = request.short_code is not None
        budgets = claim_budgets(wallet_id, blurred(vault, network), is_guess=is_guess)
        tries.take(session, operator_id, budgets, now=now)
        _refuse_unverified(session, wallet, request, code_secret, now=now)
    asked = NewClaim(
        id=request.id,
        batch_id=request.batch_id,
        short_code=request.short_code,
        customer_id=wallet.customer_id,
        holder_key=holder_key_of(wallet),
    )
    with guessing.alike(request.short_code):
        taken = issuing.claim(session, operator_id, asked, code_secret=code_secret, now=now)
    return shown_coupons(session, operator_id, [taken], now=now)[0]


def rebind(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewRebind,
    *,
    code_secret: bytes,
    now: datetime,
) -> WalletCouponView:
    """Bind one's own coupon to the phone that asks; after a move the old phone's key is on it.

    The passcode that brought the wallet along is proof enough while it would still have worked.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such coupon in this wallet.
        RequestReused: This id was used for another request.
        CouponTaken: It was handed on just now.
        CouponNotUsable: It is used up, held, given away, revoked or over.
        HolderSuspended: The phone that it is bound to is suspended.
        TooManyHolderKeys: It has moved too often.
        PasscodeNeeded: It may not move so easily; answer a passcode on this phone, and ask again
            with another id.
    """
    wallet = alive(session, operator_id, wallet_id)
    own_coupon(session, wallet, request.coupon_id)
    asked = NewHolderKey(
        id=request.id,
        coupon_id=request.coupon_id,
        customer_id=wallet.customer_id,
        holder_key=holder_key_of(wallet),
    )
    is_proven = _has_shown_an_address(session, wallet, now=now)
    bound = coupons.rebind(
        session, operator_id, asked, is_proven=is_proven, code_secret=code_secret, now=now
    )
    return shown_coupons(session, operator_id, [bound], now=now)[0]


def activate(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    request: NewOwnActivation,
    *,
    now: datetime,
) -> ActivationView:
    """Let one's own coupon work in one store alone for a while.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such coupon in this wallet, or no such store.
        CouponTaken: It was handed on meanwhile.
        CouponNotUsable: It is used up, held, given away, revoked or over, or its campaign has no
            activation.
        StillActivated: It is activated already, here or elsewhere.
    """
    wallet = alive(session, operator_id, wallet_id)
    own_coupon(session, wallet, request.coupon_id)
    asked = NewActivation(
        id=request.id,
        coupon_id=request.coupon_id,
        customer_id=wallet.customer_id,
        store_id=request.store_id,
        lasts_seconds=request.lasts_seconds,
    )
    return activating.activate(session, operator_id, asked, now=now)


def token(
    session: Session,
    operator_id: UUID,
    wallet_id: UUID,
    coupon_id: UUID,
    keys: KeyRing,
    *,
    code_secret: bytes,
    now: datetime,
) -> TokenView:
    """Sign one of the wallet's coupons for the phone.

    Raises:
        NotSignedIn: The wallet has ended.
        Unknown: No such coupon in this wallet.
        NoSigningKey: No key is in use.
        CouponNotUsable: It is being given away, or has a short code and no token.
        HolderSuspended: This phone is suspended.
        HolderKeyRequired: The coupon waits to be bound to a phone.
    """
    own_coupon(session, alive(session, operator_id, wallet_id), coupon_id)
    return coupons.token(session, operator_id, coupon_id, keys, code_secret=code_secret, now=now)


def alive(session: Session, operator_id: UUID, wallet_id: UUID) -> Wallet:
    """Return a wallet that has not ended.

    Raises:
        NotSignedIn: It has; what its key opened a moment ago is closed.
    """
    return _if_alive(session.get(Wallet, (operator_id, wallet_id)))


def alive_alone(session: Session, operator_id: UUID, wallet_id: UUID) -> Wallet:
    """Do so, and let whoever else acts for this wallet wait until we are done.

    Raises:
        NotSignedIn: It has ended.
    """
    return _if_alive(
        session.get(
            Wallet,
            (operator_id, wallet_id),
            with_for_update={"key_share": True},
            populate_existing=True,
        )
    )


def view(wallet: Wallet) -> WalletView:
    return WalletView(id=wallet.id, customer_id=wallet.customer_id, created_at=wallet.created_at)


def of_customer(session: Session, operator_id: UUID, customer_id: UUID) -> list[Wallet]:
    """Return a customer's wallets, ended ones too, the oldest first."""
    return list(
        session.exec(
            select(Wallet)
            .where(col(Wallet.operator_id) == operator_id, col(Wallet.customer_id) == customer_id)
            .order_by(col(Wallet.id))
        )
    )


def move(session: Session, wallet_id: UUID, to: UUID, *, operator_id: UUID, now: datetime) -> int:
    """Give a wallet to another customer; return how many coupons came along.

    They come where they would be left alone: the customer before was nobody but this one phone.
    """
    wallet = locked(session, Wallet, operator_id, wallet_id)
    before = wallet.customer_id
    comes_along = _is_nobody_else(session, wallet)
    wallet.customer_id = to
    session.add(wallet)
    moved = _hand_over(session, operator_id, before, to, now=now) if comes_along else 0
    _tell(session, "wallet_moved", wallet, now, before=before, after=to, coupons=moved)
    return moved


def end(session: Session, wallet: Wallet, *, why: str, now: datetime) -> None:
    """End a wallet: what its key signs opens nothing any more."""
    wallet.ended_at = now
    session.add(wallet)
    _tell(session, "wallet_ended", wallet, now, why=why)


def blurred(vault: Vault, network: str) -> str:
    """Name a network in a row without keeping where somebody was."""
    return vault.lookup(network, "network").hex()


def _if_alive(wallet: Wallet | None) -> Wallet:
    if wallet is None or wallet.ended_at:
        raise NotSignedIn
    return wallet


def _proven(request: NewWallet, *, now: datetime) -> bytes:
    """Return the key, if whoever asks has the other half of it.

    Else anybody could make a wallet for the key that they saw in somebody's coupon.
    """
    try:
        encoded = urlsafe_b64decode(request.holder_key)
        public_key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), encoded)
    except ValueError:
        raise _counted(HolderKeyInvalid()) from None
    signature = urlsafe_b64decode(request.proof + "==")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    signed = proof_text(request.operator, request.holder_key, request.at)
    try:
        public_key.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))
    except InvalidSignature:
        raise _counted(ProofInvalid(why="the signature does not fit the key")) from None
    if abs(now - request.at) > PROOF_LASTS:
        raise _counted(ProofInvalid(why="this was signed too long ago, or too far ahead"))
    return encoded


def _counted(error: HolderKeyInvalid | ProofInvalid) -> HolderKeyInvalid | ProofInvalid:
    """Let the try stay counted although the answer is no."""
    error.is_answered = True
    return error


def _with_key(session: Session, operator_id: UUID, public_key: bytes) -> Wallet | None:
    return session.exec(
        select(Wallet).where(
            col(Wallet.operator_id) == operator_id,
            col(Wallet.public_key) == public_key,
            col(Wallet.ended_at).is_(None),
        )
    ).one_or_none()


def _make(
    session: Session, operator_id: UUID, id: UUID, public_key: bytes, *, now: datetime
) -> Wallet:
    customer_id = new_id(now)
    session.add(
        Customer(
            operator_id=operator_id,
            id=customer_id,
            ref=f"w-{customer_id}",
            segments=[],
            has_purchased=False,
            created_at=now,
        )
    )
    session.flush()
    wallet = Wallet(
        operator_id=operator_id,
        id=id,
        customer_id=customer_id,
        public_key=public_key,
        created_at=now,
        seen_at=now,
    )
    session.add(wallet)
    session.flush()
    return wallet


def claim_budgets(wallet_id: UUID, network: str, *, is_guess: bool) -> list[Budget]:
    # Taken in the order of their keys: what one phone wastes never uses up everybody's.
    budgets = [
        Budget(f"claims 1 {wallet_id}", CLAIMS_PER_WALLET, HOUR),
        Budget(f"claims 4 {network}", CLAIMS_PER_NETWORK, HOUR),
        Budget("claims 5", CLAIMS_PER_OPERATOR, HOUR),
    ]
    if is_guess:
        budgets += [
            Budget(f"claims 2 guess {wallet_id}", GUESSES_PER_WALLET, HOUR),
            Budget(f"claims 3 guess {network}", GUESSES_PER_NETWORK, HOUR),
        ]
    return budgets


def _refuse_unverified(
    session: Session,
    wallet: Wallet,
    request: NewWalletClaim,
    code_secret: bytes,
    *,
    now: datetime,
) -> None:
    """Let nobody take a coupon without a contact where the batch asks for one."""
    query = select(Batch.id).where(
        col(Batch.operator_id) == wallet.operator_id, col(Batch.needs_contact)
    )
    if request.short_code is None:
        query = query.where(col(Batch.id) == request.batch_id)
    else:
        # Of a code that gives nothing no more is told than of none, and by the same statement.
        query = query.join(
            Coupon,
            (col(Coupon.operator_id) == col(Batch.operator_id))
            & (col(Coupon.batch_id) == col(Batch.id)),
        ).where(
            col(Coupon.code_hash) == short_code.fingerprint(request.short_code, code_secret),
            col(Coupon.customer_id).is_(None),
            col(Coupon.revoked_at).is_(None),
            col(Coupon.valid_until) > now,
            col(Coupon.uses_count) < col(Coupon.uses),
        )
    if session.exec(query).one_or_none() is None:
        return
    if not contacts.is_verified(session, wallet.operator_id, wallet.customer_id):
        raise ContactNeeded


def own_coupon(session: Session, wallet: Wallet, coupon_id: UUID) -> Coupon:
    """Return a coupon of the wallet's customer; anybody else's is as unknown as one never made."""
    coupon = session.get(Coupon, (wallet.operator_id, coupon_id))
    if coupon is None or coupon.customer_id != wallet.customer_id:
        raise Unknown("coupon", coupon_id)
    return coupon


def holder_key_of(wallet: Wallet) -> HolderKey:
    point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), wallet.public_key)
    numbers = point.public_numbers()
    return HolderKey(x=_coordinate(numbers.x), y=_coordinate(numbers.y))


def _coordinate(number: int) -> str:
    return urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode()


def _has_shown_an_address(session: Session, wallet: Wallet, *, now: datetime) -> bool:
    """Has this phone just answered a code to an address that was the customer's before?

    An address that only came with that code proves nothing: whoever has the phone has it, too.
    """
    shown = session.exec(
        select(Passcode.id)
        .join(
            Contact,
            (col(Contact.operator_id) == col(Passcode.operator_id))
            & (col(Contact.lookup) == col(Passcode.lookup)),
        )
        .where(
            col(Passcode.operator_id) == wallet.operator_id,
            col(Passcode.wallet_id) == wallet.id,
            col(Passcode.used_at).is_not(None),
            col(Passcode.expires_at) > now,
            col(Contact.customer_id) == wallet.customer_id,
            col(Contact.created_at) < col(Passcode.created_at),
        )
        .limit(1)
    )
    return shown.first() is not None


def _see(session: Session, wallet: Wallet, *, now: datetime) -> None:
    """Note that the phone is in use, now and then."""
    if wallet.seen_at is None or now - wallet.seen_at >= SEEN_EVERY:
        wallet.seen_at = now
        session.add(wallet)
        session.flush()


def _is_nobody_else(session: Session, wallet: Wallet) -> bool:
    """Was the customer nothing but this phone: made for it, with no contact and no other phone?"""
    customer = session.get_one(Customer, (wallet.operator_id, wallet.customer_id))
    others = [
        other
        for other in of_customer(session, wallet.operator_id, wallet.customer_id)
        if other.id != wallet.id and not other.ended_at
    ]
    return (
        customer.ref == f"w-{customer.id}"
        and not others
        and not contacts.of_customer(session, wallet.operator_id, wallet.customer_id)
    )


def _hand_over(
    session: Session, operator_id: UUID, before: UUID, to: UUID, *, now: datetime
) -> int:
    """Give all coupons of one customer to another; each coupon's story tells it."""
    rows = session.connection().execute(
        _HAND_OVER, {"operator_id": operator_id, "before": before, "to": to}
    )
    happened = [
        events.happened(
            "coupon_transferred",
            row.id,
            operator_id=operator_id,
            campaign_id=row.campaign_id,
            at=now,
            data={"from": before, "to": to},
        )
        for row in rows
    ]
    if happened:
        events.record(session, *happened)
    return len(happened)


def _tell(session: Session, kind: str, wallet: Wallet, now: datetime, **data: object) -> None:
    session.flush()
    events.record(
        session,
        events.happened(
            kind,
            wallet.id,
            operator_id=wallet.operator_id,
            campaign_id=None,
            at=now,
            data={"customer_id": wallet.customer_id, **data},
        ),
    )


# Locked in the order in which redeeming locks them.
_HAND_OVER = text("""
    WITH own AS (
        SELECT operator_id, id FROM coupon
        WHERE operator_id = :operator_id AND customer_id = :before
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE coupon SET customer_id = :to FROM own
    WHERE coupon.operator_id = own.operator_id AND coupon.id = own.id
    RETURNING coupon.id, coupon.campaign_id
""")
