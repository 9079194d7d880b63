"""Three simulated days of a chain of shops without much of a network.

Terminals, journals and verbs are the real ones; only the hour, the lines and the customers are made
up. `python -m bench.offline` holds what came of it against what was promised.
"""

import heapq
import math
import random
import shutil
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from sqlmodel import Session

from bench import shop
from bench.shop import Shop
from coupon_engine import acting, activating, campaigns, coupons, operators, redemption
from coupon_engine.database import transaction
from coupon_engine.errors import (
    CouponNotUsable,
    CouponRefused,
    JournalIncomplete,
    NoLease,
    NotSignedIn,
    StillActivated,
    TerminalFrozen,
)
from coupon_engine.offline import bundles, journals, leases, server_keys, status_lists
from coupon_engine.redemption import Presented
from coupon_engine.sweeping import sweep
from coupon_engine.tables import Terminal
from coupon_engine.terminals import terminals
from coupon_engine.validation.showing import shown
from scanner.identity import FileKey
from scanner.terminal.checking import Finding, Flaw
from scanner.terminal.clock import GuardedClock
from scanner.terminal.holdings import HoldingRefused, Holdings
from scanner.terminal.journal import AcknowledgementRefused, Journal
from scanner.terminal.judging import Accepted, Counter
from scanner.terminal.ledger import Spending
from schemas.base import MOST_COUNT, MOST_MINOR
from schemas.baskets import Basket
from schemas.campaigns import NewCampaign, NewMerchant, NewStore, NewTerminal, OfflinePolicy
from schemas.coupons import HolderKey, NewActivation
from schemas.ids import new_id
from schemas.journals import MOST_ENTRIES, EntryKind, Mode, NewUpload
from schemas.offline import LONGEST_LEASE_SECONDS, NewLease
from schemas.redemptions import NewRedemption
from schemas.terminals import NewTerminalRevocation

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)  # a Monday
HALF_A_LEASE = timedelta(seconds=LONGEST_LEASE_SECONDS / 2)
AFTERWARDS = timedelta(days=9)  # when nothing can come in any more
SHOWN_AGAIN = 0.03
BASKET = Basket(currency="EUR", total_minor=1_000)
PASSPHRASE = shop.PASSPHRASE.encode()
SECRET = shop.CODE_SECRET.encode()

# How the acceptances spread over the policies.
SHARES: Mapping[OfflinePolicy, float] = {
    OfflinePolicy.ONLINE_ONLY: 0.12,
    OfflinePolicy.STORE_BOUND: 0.22,
    OfflinePolicy.ACTIVATED: 0.12,
    OfflinePolicy.DEVICE_QUOTA: 0.30,
    OfflinePolicy.CAMPAIGN_ESCROW: 0.24,
}


@dataclass(frozen=True)
class Plan:
    """What is simulated. All else follows from the seed, but for keys and ids."""

    terminals: int = 20
    hours: int = 72
    acceptances: int = 10_000
    seed: int = 1
    tick_minutes: int = 60  # so often a terminal that can meets the server

    @property
    def tick(self) -> timedelta:
        return timedelta(minutes=self.tick_minutes)

    @property
    def stores(self) -> int:
        return max(2, self.terminals // 4)

    @property
    def leases_each(self) -> int:
        """Return how many leases one terminal gets at most: renewed when half is over."""
        return self.hours // 11 + 2  # a clock that is ahead renews a little early

    @property
    def offline_count(self) -> int:
        """Return N, so that a terminal which is dark for long comes to its end."""
        a_day = self.acceptances * 24 / self.hours / self.terminals
        return max(4, math.ceil(a_day * 0.5))

    @property
    def offline_minor(self) -> int:
        return self.offline_count * shop.DISCOUNT_MINOR

    @property
    def escrow_count(self) -> int:
        """Return a ceiling below what will be asked for."""
        return math.ceil(self.acceptances * SHARES[OfflinePolicy.CAMPAIGN_ESCROW] * 0.8)

    def budget_count(self, policy: OfflinePolicy) -> int:
        is_escrow = policy is OfflinePolicy.CAMPAIGN_ESCROW
        return self.escrow_count if is_escrow else 2 * self.acceptances + 1_000

    def bounds(self) -> dict[OfflinePolicy, "Bound"]:
        """Return what each policy may lose, before anything has happened."""
        by_all = self.terminals * self.leases_each * self.offline_minor
        by_hubs = self.stores * self.leases_each * self.offline_minor
        return {
            OfflinePolicy.ONLINE_ONLY: Bound(0, 0),
            # The server decides as well, before it has heard what the store's hub did.
            OfflinePolicy.STORE_BOUND: Bound(0, by_hubs),
            # And an activation that has ended can be made again, for another store.
            OfflinePolicy.ACTIVATED: Bound(by_hubs, by_hubs),
            OfflinePolicy.DEVICE_QUOTA: Bound(by_all, by_all),
            OfflinePolicy.CAMPAIGN_ESCROW: Bound(by_all, by_all),
        }


@dataclass(frozen=True)
class Bound:
    """What may be lost: to two terminals, and to a terminal and the server."""

    between_terminals: int
    with_the_server: int

    @property
    def whole(self) -> int:
        return max(self.between_terminals, self.with_the_server)


@dataclass
class Carried:
    """A coupon in somebody's pocket, and the code that is shown of it."""

    id: UUID
    policy: OfflinePolicy
    customer_id: UUID
    store: int | None
    code: str
    plain_code: str
    activated_until: datetime | None = None


@dataclass(frozen=True)
class Green:
    """An acceptance that a cashier has seen. `entry` is the hash of the line in the journal."""

    id: UUID
    policy: OfflinePolicy
    entry: str | None  # None: the server decided


@dataclass
class World:
    engine: Engine
    at: Shop
    plan: Plan
    server_key: HolderKey
    campaign_ids: dict[OfflinePolicy, UUID]
    now: datetime = START
    devices: list["Device"] = field(default_factory=list["Device"])
    pool: dict[OfflinePolicy, list[Carried]] = field(
        default_factory=dict[OfflinePolicy, list[Carried]]
    )
    green: list[Green] = field(default_factory=list[Green])
    refused: Tally[str] = field(default_factory=Tally[str])
    shown_again: int = 0
    uploads: int = 0
    chance: random.Random = field(default_factory=random.Random)

    @property
    def for_us(self) -> acting.Acting:
        return acting.by_system(self.at.operator_id)

    def passed(self, hours: float) -> datetime:
        """Return an instant of the story, told for 72 hours and as long as this one is."""
        return START + timedelta(hours=hours * self.plan.hours / 72)


class Device:
    """A real terminal, with its files, a clock that may be wrong, and a line that may fail."""

    def __init__(
        self, world: World, id: UUID, store: int, store_id: UUID, folder: Path, *, is_hub: bool
    ) -> None:
        self.world = world
        self.id = id
        self.store = store
        self.store_id = store_id
        self.folder = folder
        self.wants_authority = is_hub
        self.hub: Device | None = None
        self.dark: list[tuple[datetime, datetime]] = []
        self.wrong: list[tuple[datetime, datetime, timedelta]] = []
        self.is_disowned = False
        self.leased: UUID | None = None
        self.mark: str | None = None
        self.after = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.key = FileKey.kept_in(folder / "key.pem")
        self.open()

    def open(self) -> None:
        holdings = Holdings(
            self.folder / "held",
            self.world.server_key,
            terminal_id=self.id,
            store_id=self.store_id,
        )
        self.journal = Journal(self.folder / "journal.db", self.key, self.id)
        clock = GuardedClock(self._wall, self._steady)
        self.counter = Counter(holdings, self.journal, clock)

    def cloned(self, folder: Path) -> "Device":
        """Return a second terminal with the same key and a copy of the journal."""
        self.journal.close()
        shutil.copytree(self.folder, folder)
        self.open()
        other = Device(self.world, self.id, self.store, self.store_id, folder, is_hub=False)
        other.leased = self.leased
        other.dark = [(self.world.now, self.world.now + timedelta(hours=6))]
        return other

    @property
    def reaches_the_server(self) -> bool:
        now = self.world.now
        return not self.is_disowned and not any(start <= now < end for start, end in self.dark)

    def redeems(self, coupon: Carried) -> bool:
        """Let whoever can be reached decide, as a terminal does: the server, the hub, itself."""
        if self.reaches_the_server:
            return self._by_server(coupon)
        if self.hub is not None and self.hub is not self:
            return self.hub.alone(coupon, asked_by=self.id)
        return self.alone(coupon)

    def alone(self, coupon: Carried, *, asked_by: UUID | None = None) -> bool:
        verdict = self.counter.redeem(coupon.code, basket=BASKET, asked_by=asked_by)
        if not isinstance(verdict, Accepted):
            self.world.refused[verdict.refusal.code] += 1
            return False
        self.world.green.append(Green(verdict.id, coupon.policy, self.journal.last.hash))
        return True

    def meets_the_server(self, *, loses_the_line: bool = False) -> None:
        """Upload, renew the lease, learn what is new, and hear what became of entries."""
        try:
            self._upload(loses_the_line=loses_the_line)
            if loses_the_line:
                return
            if self._is_lease_wanted():
                self._renew()
            self._learn()
            self._upload()
            self._hear()
        except (NotSignedIn, TerminalFrozen):
            self.is_disowned = True
        except (JournalIncomplete, NoLease, HoldingRefused):
            return  # the next time
        except AcknowledgementRefused:
            self.is_disowned = True
            last = self.journal.last.seq
            self.counter.findings.append(Finding(last, Flaw.OLDER_COPY))

    def entries(self) -> list[str]:
        return self.journal.unsent(10**9)

    def _wall(self) -> datetime:
        now = self.world.now
        return next((now + by for start, end, by in self.wrong if start <= now < end), now)

    def _by_server(self, coupon: Carried) -> bool:
        world, at = self.world, self.world.at
        asked = NewRedemption(
            id=new_id(world.now),
            code=coupon.code,
            store_id=self.store_id,
            terminal_id=self.id,
            basket=BASKET,
        )
        seen = shown(coupon.code, at.ring, pepper=SECRET, challenge=None, now=world.now)
        try:
            with transaction(world.engine, world.for_us) as session:
                view = redemption.redeem(
                    session, at.operator_id, Presented(asked, seen), now=world.now
                )
        except CouponRefused as no:
            world.refused[no.refusal.code] += 1
            return False
        spending = Spending(
            jti=view.coupon_id, id=view.id, until=world.now + timedelta(days=30), basket=BASKET
        )
        if not self.counter.findings:
            self.journal.append(
                EntryKind.REDEEMED,
                Mode.ONLINE,
                at=self.counter.look(),
                spending=spending,
                store=self.store_id,
                ver=0,
                lease=self.leased,
                id=view.id,
                jti=view.coupon_id,
                currency=view.currency,
                discount_minor=view.discount_minor,
            )
        world.green.append(Green(view.id, coupon.policy, None))
        return True

    def _steady(self) -> float:
        return (self.world.now - START).total_seconds()

    # With the server.

    def _upload(self, *, loses_the_line: bool = False) -> None:
        """Send what is not acknowledged: cut anywhere, at times out of order or twice."""
        chance = self.world.chance
        while entries := self.journal.unsent(10 * MOST_ENTRIES):
            before = self.journal.acknowledged_seq
            portions = list(cut(entries, chance))
            if chance.random() < 0.2:
                chance.shuffle(portions)
            if chance.random() < 0.2:
                portions.append(chance.choice(portions))
            if loses_the_line:
                portions = portions[: len(portions) // 2 + 1]
            for portion in portions:
                told = self.sends(portion)
                if not loses_the_line or chance.random() < 0.5:  # else the answer is lost
                    self.journal.acknowledged(told, self.world.server_key)
            if loses_the_line:
                return
            if self.journal.acknowledged_seq <= before:
                raise AcknowledgementRefused("nothing of it is acknowledged")

    def sends(self, portion: Sequence[str]) -> str:
        """Upload these entries, and return the acknowledgement."""
        world, at = self.world, self.world.at
        world.uploads += 1
        asked = NewUpload(id=new_id(world.now), entries=tuple(portion), after=self.after)
        with transaction(world.engine, world.for_us) as session:
            return journals.receive(
                session,
                at.operator_id,
                self.id,
                asked,
                ring=at.ring,
                passphrase=PASSPHRASE,
                now=world.now,
            ).acknowledgement

    def _is_lease_wanted(self) -> bool:
        bundle = self.counter.holdings.bundle
        if bundle is None:
            return True
        return _instant(bundle.lease_until) - self.counter.look().now < HALF_A_LEASE

    def _renew(self) -> None:
        world = self.world
        asked = NewLease(id=new_id(world.now), wants_authority=self.wants_authority)
        with transaction(world.engine, world.for_us) as session:
            leases.grant(session, world.at.operator_id, self.id, asked, now=world.now)

    def _learn(self) -> None:
        world, holdings = self.world, self.counter.holdings
        here = (world.at.operator_id, self.id)
        how: dict[str, Any] = {
            "issuer_url": shop.ISSUER,
            "passphrase": PASSPHRASE,
            "now": world.now,
        }
        with transaction(world.engine, world.for_us) as session:
            told = bundles.signed(session, *here, unless=self.mark, **how)
        now = self.counter.look().now
        if told is not None:
            holdings.learn_bundle(told.jwt, now)
            self.mark = told.mark
            self._begin_lease()
        assert holdings.bundle is not None
        with transaction(world.engine, world.for_us) as session:
            for each in holdings.bundle.lists:
                since = holdings.list_ver(each.cmp, each.shard) or None
                jwt = status_lists.for_terminal(
                    session, *here, each.cmp, each.shard, since=since, **how
                )
                holdings.learn_list(jwt, now)

    def _begin_lease(self) -> None:
        bundle = self.counter.holdings.bundle
        assert bundle is not None
        if self.leased == bundle.lease_id or self.counter.findings:
            return
        self.journal.append(
            EntryKind.LEASED,
            Mode.OFFLINE,
            at=self.counter.look(),
            store=self.store_id,
            ver=bundle.ver,
            lease=bundle.lease_id,
        )
        self.leased = bundle.lease_id

    def _hear(self) -> None:
        world = self.world
        with transaction(world.engine, world.for_us) as session:
            told = journals.acknowledgement(
                session,
                world.at.operator_id,
                self.id,
                after=self.after,
                passphrase=PASSPHRASE,
                now=world.now,
            )
        self.after = self.journal.acknowledged(told, world.server_key).iat


# The world before it begins.


def new_world(engine: Engine, plan: Plan, folder: Path) -> World:
    early = START - timedelta(days=1)
    at = shop.open_shop(engine, now=early)
    with transaction(engine) as session:
        campaign_ids = {
            policy: new_campaign(session, at, plan, policy, now=early) for policy in SHARES
        }
        key = server_keys.public(session, at.operator_id, passphrase=PASSPHRASE, now=early)
    server_key = HolderKey(x=key["x"], y=key["y"])
    world = World(engine, at, plan, server_key, campaign_ids, chance=random.Random(plan.seed))
    _open_devices(world, folder)
    _fail_lines(world)
    _set_clocks_wrong(world)
    for policy in SHARES:
        world.pool[policy] = _coupons(world, policy, now=early)
    return world


def new_campaign(
    session: Session, at: Shop, plan: Plan, policy: OfflinePolicy, *, now: datetime
) -> UUID:
    count = plan.budget_count(policy)
    asked = NewCampaign(
        id=new_id(now),
        name=policy,
        currency="EUR",
        zone="Europe/Berlin",
        starts_at=now - timedelta(days=1),
        ends_at=now + timedelta(days=60),
        budget_minor=count * shop.DISCOUNT_MINOR,
        max_redemptions=count,
        max_issued=MOST_COUNT,
        max_per_minute=MOST_COUNT,
        max_per_customer=MOST_COUNT,
        planned_per_minute=MOST_COUNT,
        planned_minor_per_minute=MOST_MINOR,
        offline=policy,
        offline_count=plan.offline_count,
        offline_minor=plan.offline_minor,
    )
    made = campaigns.create_campaign(session, at.operator_id, asked, now=now)
    shop.approve(session, at.operator_id, made.id, new_id(now), now=now)
    return made.id


def _open_devices(world: World, folder: Path) -> None:
    """Put terminals into stores in turn; the first of each asks for the authority.

    In every other store the others ask it when the line is down; elsewhere each is on its own.
    """
    at, early = world.at, START - timedelta(days=1)
    with transaction(world.engine) as session:
        merchant = operators.create_merchant(
            session, at.operator_id, NewMerchant(id=new_id(early), name="Many shops"), now=early
        )
        stores = [
            operators.create_store(
                session,
                at.operator_id,
                NewStore(
                    id=new_id(early),
                    merchant_id=merchant.id,
                    name=f"Store {number}",
                    zone="Europe/Berlin",
                ),
                now=early,
            )
            for number in range(world.plan.stores)
        ]
        for number in range(world.plan.terminals):
            store = number % world.plan.stores
            asked = NewTerminal(
                id=new_id(early), store_id=stores[store].id, name=f"Terminal {number + 1}"
            )
            made = operators.create_terminal(session, at.operator_id, asked, now=early)
            device = Device(
                world,
                made.id,
                store,
                stores[store].id,
                folder / f"device-{number + 1}",
                is_hub=number < world.plan.stores,
            )
            row = session.get_one(Terminal, (at.operator_id, made.id))
            row.public_key, row.paired_at = device.key.public_key, early
            session.add(row)
            session.flush()
            world.devices.append(device)
    for device in world.devices:
        device.hub = world.devices[device.store] if device.store % 2 == 0 else None


def _fail_lines(world: World) -> None:
    """Let lines fail for hours: of each terminal by itself, and of whole stores."""
    chance, end = world.chance, START + timedelta(hours=world.plan.hours)
    for device in world.devices:
        at = START + timedelta(minutes=30)
        while at < end:
            at += timedelta(hours=chance.uniform(0.5, 4))
            until = at + timedelta(hours=min(30, chance.expovariate(1 / 6)))
            device.dark.append((at, until))
            at = until
    for store in range(world.plan.stores):
        for _ in range(2):
            at = world.passed(chance.uniform(1, 66))
            until = at + timedelta(hours=chance.uniform(2, 8))
            for device in world.devices[store :: world.plan.stores]:
                device.dark.append((at, until))
    # Once nobody has a network: then some coupons are shown at every terminal.
    for device in world.devices:
        device.dark.append((world.passed(47), world.passed(47) + 2 * world.plan.tick))


def _set_clocks_wrong(world: World) -> None:
    devices, passed = world.devices, world.passed
    wrong = (
        (passed(20), passed(30), -timedelta(days=1)),
        (passed(34), passed(50), timedelta(minutes=10)),
        (passed(0), passed(72), timedelta(seconds=90)),
        (passed(55), passed(58), -timedelta(minutes=1)),
    )
    for device, each in zip(devices[1:], wrong, strict=False):
        device.wrong.append(each)


def _coupons(world: World, policy: OfflinePolicy, *, now: datetime) -> list[Carried]:
    plan, engine = world.plan, world.engine
    many = math.ceil(plan.acceptances * SHARES[policy] * 1.4) + 3 * plan.offline_count + 20
    at = replace(world.at, campaign_id=world.campaign_ids[policy])
    batch_id = shop.new_batch(engine, at, now=now)
    ids = shop.new_coupons(engine, at, batch_id, many, now=now)
    store_of: dict[UUID, int] = {}
    if policy is OfflinePolicy.STORE_BOUND:
        store_of = {id: number % plan.stores for number, id in enumerate(ids)}
        _bind(world, store_of)
    with transaction(engine) as session:
        query = text("SELECT id, customer_id FROM coupon WHERE batch_id = :id")
        customer_of = {
            row.id: row.customer_id for row in session.connection().execute(query, {"id": batch_id})
        }
    codes = shop.codes(engine, at, ids, now=START)
    carried = [
        Carried(id, policy, customer_of[id], store_of.get(id), code, code)
        for id, code in zip(ids, codes, strict=True)
    ]
    world.chance.shuffle(carried)
    return carried


def _bind(world: World, store_of: Mapping[UUID, int]) -> None:
    """Bind coupons to stores, as issuing one by one would."""
    named = [
        {"id": id, "store_id": world.devices[store].store_id} for id, store in store_of.items()
    ]
    with transaction(world.engine) as session:
        session.connection().execute(
            text("UPDATE coupon SET store_id = :store_id WHERE id = :id"), named
        )


# Three days.


def live(world: World) -> None:
    """Let it all happen, and in the end let everybody who still can meet the server."""
    plan = world.plan
    again: list[tuple[datetime, int, Carried, Device]] = []
    story = sorted(_story(world), key=lambda told: told[0])
    ticks = math.ceil(timedelta(hours=plan.hours) / plan.tick)
    for tick in range(ticks):
        begin = START + tick * plan.tick
        while story and story[0][0] <= begin:
            world.now = max(world.now, story[0][0])
            story.pop(0)[1]()
        due = math.ceil(plan.acceptances * (tick + 1) / ticks) - len(world.green)
        _tick(world, begin, due, again)
    _after(world)


def _tick(
    world: World, begin: datetime, due: int, again: list[tuple[datetime, int, Carried, Device]]
) -> None:
    """Let customers come until so many coupons were accepted, and terminals meet the server."""
    chance, end = world.chance, begin + world.plan.tick
    meetings = sorted(
        ((begin + chance.random() * world.plan.tick, device) for device in world.devices),
        key=lambda each: each[0],
    )
    wanted = len(world.green) + due
    for at in sorted(
        begin + chance.random() * world.plan.tick for _ in range(4 * max(0, due) + 20)
    ):
        while meetings and meetings[0][0] <= at:
            _meet(world, *meetings.pop(0))
        while again and again[0][0] <= at:
            when, _, coupon, first = heapq.heappop(again)
            world.now = max(world.now, when)
            _show_again(world, coupon, first)
        world.now = max(world.now, at)
        accepted = _show(world) if len(world.green) < wanted else None
        if accepted is not None and chance.random() < SHOWN_AGAIN:
            later = at + timedelta(minutes=1 + chance.expovariate(1 / 180))
            heapq.heappush(again, (later, len(world.green), *accepted))
    for meeting in meetings:
        _meet(world, *meeting)
    world.now = max(world.now, end)


def _meet(world: World, at: datetime, device: Device) -> None:
    world.now = max(world.now, at)
    if device.reaches_the_server:
        device.meets_the_server(loses_the_line=world.chance.random() < 0.1)


def _show(world: World) -> tuple[Carried, Device] | None:
    """Let one customer come to a terminal; whoever hears no keeps the coupon."""
    chance = world.chance
    policy = chance.choices(list(SHARES), list(SHARES.values()))[0]
    pool = world.pool[policy]
    if not pool:
        return None
    place = chance.randrange(len(pool))
    pool[place], pool[-1] = pool[-1], pool[place]
    coupon = pool.pop()
    device = chance.choice(_devices_for(world, coupon))
    _activate(world, coupon, device)
    if device.redeems(coupon):
        return coupon, device
    pool.append(coupon)
    return None


def _show_again(world: World, coupon: Carried, first: Device) -> None:
    """Show a coupon that was accepted once at another terminal."""
    others = [each for each in _devices_for(world, coupon) if each is not first]
    device = world.chance.choice(others or [first])
    world.shown_again += 1
    _activate(world, coupon, device)
    device.redeems(coupon)


def _devices_for(world: World, coupon: Carried) -> list[Device]:
    if coupon.store is None:
        return world.devices
    return [device for device in world.devices if device.store == coupon.store]


def _activate(world: World, coupon: Carried, device: Device) -> None:
    """Let the phone, which mostly has a network, swap its coupon for one of this store."""
    if coupon.policy is not OfflinePolicy.ACTIVATED or world.chance.random() < 0.1:
        return
    if coupon.activated_until is not None and world.now < coupon.activated_until:
        return
    coupon.code = coupon.plain_code
    at = world.at
    asked = NewActivation(
        id=new_id(world.now),
        coupon_id=coupon.id,
        customer_id=coupon.customer_id,
        store_id=device.store_id,
    )
    try:
        with transaction(world.engine, world.for_us) as session:
            view = activating.activate(session, at.operator_id, asked, now=world.now)
            token = coupons.token(
                session, at.operator_id, coupon.id, at.ring, code_secret=SECRET, now=world.now
            )
    except (CouponNotUsable, StillActivated):
        return
    assert token.text is not None
    coupon.code, coupon.activated_until = token.text, view.activated_until


def _story(world: World) -> Iterable[tuple[datetime, Any]]:
    """Tell what happens once: a theft, a revocation, a clone, a copied coupon at all terminals."""
    stolen, copied = world.devices[-1], world.devices[-2]

    def steal() -> None:
        stolen.hub = None
        stolen.dark = [(world.now, world.passed(72) + AFTERWARDS)]

    def revoke() -> None:
        asked = NewTerminalRevocation(
            id=new_id(world.now), terminal_id=stolen.id, reason="It was stolen."
        )
        with transaction(world.engine, world.for_us) as session:
            terminals.revoke(session, world.at.operator_id, asked, store_ids=None, now=world.now)

    def clone() -> None:
        copied.hub = None
        world.devices.append(copied.cloned(copied.folder.with_name("clone")))

    def bring() -> None:
        """Somebody uploads what the stolen terminal did."""
        for portion in cut(stolen.entries(), world.chance):
            stolen.sends(portion)

    def copy() -> None:
        """The worst that customers can do: one picture, at every terminal, while all are dark."""
        pool = world.pool[OfflinePolicy.DEVICE_QUOTA]
        for _ in range(max(1, world.plan.offline_count // 8)):
            coupon = pool.pop()
            for device in world.devices:
                world.shown_again += device.alone(coupon)
                world.now += timedelta(milliseconds=100)

    return [
        (world.passed(23), steal),
        (world.passed(24), revoke),
        (world.passed(30), clone),
        (world.passed(36), bring),
        (world.passed(47), copy),
        (world.passed(60), bring),
    ]


def _after(world: World) -> None:
    """Bring everything in, and let time decide what it can."""
    for device in world.devices:
        device.dark = []
        world.now += timedelta(minutes=1)
        if device is world.devices[world.plan.terminals - 1]:
            for portion in cut(device.entries(), world.chance):
                device.sends(portion)
        elif not device.is_disowned:
            device.meets_the_server()
        for portion in cut(device.entries(), world.chance):  # what a frozen one still has
            device.sends(portion)
    world.now += AFTERWARDS
    while sweep(world.engine, now=world.now):
        pass


def cut(entries: Sequence[str], chance: random.Random) -> Iterable[list[str]]:
    start = 0
    while start < len(entries):
        end = start + chance.randint(1, MOST_ENTRIES)
        yield list(entries[start:end])
        start = end


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
