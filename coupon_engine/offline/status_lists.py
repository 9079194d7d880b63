"""Status lists: for each coupon of a campaign one bit that says whether it still works.

    set     used up, withdrawn with or without its batch, activated for a store elsewhere, bound to
            a phone that is suspended; and a place that a coupon has left, see places.py
    clear   as it was issued, or taken back whole

A list is made of the record as it stands, and never of events: what was touched since is looked at
as it is now. The last one that was made is kept, so that the next is a small step. `ver` is the
server's clock, in milliseconds, when the record was read.

Whoever redeems notes the hour first and commits later, so each step looks back a little further
than the version it starts from. What is told twice does no harm.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session, col, select

from coupon_engine import acting, bulk, limits, operators
from coupon_engine.database import allow_bulk
from coupon_engine.errors import NoLease, Unknown
from coupon_engine.offline import leases, server_keys
from coupon_engine.offline.server_keys import ServerKeyPair
from coupon_engine.rows import found
from coupon_engine.tables import Campaign, Operator, StatusList, Terminal
from coupon_engine.validation import status_lists as codec
from coupon_engine.validation.token import Typ, sign_typed
from schemas.offers import LimitOf
from schemas.offline import Changed, ListNamed, StatusListClaims

OVERLAP = timedelta(seconds=30)  # a commit is never later than this after the hour it bears
SKEW = timedelta(seconds=10)  # between the clocks of two servers
KEPT_AGAIN = timedelta(seconds=60)  # so old is what is kept, before a newer one takes its place
TTL_SECONDS = 60
WORLD_SECONDS = 24 * 3_600  # so long the world may believe a list
LONGEST_ACTIVATION = timedelta(hours=2)
MOST_CHANGED = 2**14  # beyond this a whole shard is hardly longer
MOST_STEPS = 50_000  # beyond this it is quicker to look at every coupon


def full(
    session: Session,
    operator_id: UUID,
    number: int,
    shard: int,
    *,
    key: ServerKeyPair,
    issuer: str,
    until: datetime,
    now: datetime,
) -> str:
    """Return a whole shard of a campaign's list, signed, good until then.

    Raises:
        Unknown: No campaign has this number, or none of its coupons lies in this shard.
    """
    campaign = _campaign(session, operator_id, number)
    _refuse_other_shards(session, campaign, shard)
    ver, bits = _shard(session, campaign, shard, now=now)
    claims = StatusListClaims(
        **_head(issuer, campaign, until=until, now=now),
        ver=ver,
        shard=shard,
        status_list={"bits": 1, "lst": codec.pack(bits)},
    )
    return _signed(claims, key)


def delta(
    session: Session,
    operator_id: UUID,
    number: int,
    shard: int,
    *,
    since: int,
    key: ServerKeyPair,
    issuer: str,
    until: datetime,
    now: datetime,
) -> str:
    """Return what was touched in a shard since this version, signed; all of it if that is much.

    Raises:
        Unknown: As `full`.
    """
    campaign = _campaign(session, operator_id, number)
    _refuse_other_shards(session, campaign, shard)
    known = max(since, _last_kept(session, campaign, shard))
    places = None
    if not _is_set_back(known, now) and not _has_withdrawn_since(session, campaign, since):
        places = _touched(session, campaign, shard, since=since, most=MOST_CHANGED, now=now)
    if places is None:
        args: dict[str, Any] = {"key": key, "issuer": issuer, "until": until, "now": now}
        return full(session, operator_id, number, shard, **args)
    ver = max(_millis(now), known)
    claims = StatusListClaims(
        **_head(issuer, campaign, until=until, now=now),
        ver=ver,
        shard=shard,
        since=since,
        changed=Changed(
            set=codec.gaps_encoded(place for place, is_on in places.items() if is_on),
            cleared=codec.gaps_encoded(place for place, is_on in places.items() if not is_on),
        ),
    )
    return _signed(claims, key)


def for_terminal(
    session: Session,
    operator_id: UUID,
    terminal_id: UUID,
    number: int,
    shard: int,
    *,
    since: int | None,
    issuer_url: str,
    passphrase: bytes,
    now: datetime,
) -> str:
    """Return a shard for a terminal, whole or what was touched since; good as long as its lease.

    Raises:
        Unknown: No such terminal, or no coupon of such a campaign lies in this shard.
        NotSignedIn: The terminal was revoked a moment ago.
        TerminalFrozen: Its journal has forked.
        NoLease: It has no lease, or its lease is over.
    """
    leases.refuse_untrusted(found(session, Terminal, operator_id, terminal_id))
    lease = leases.current(session, operator_id, terminal_id, now=now)
    if lease is None:
        raise NoLease
    args: dict[str, Any] = {
        "key": server_keys.in_use(session, operator_id, passphrase=passphrase, now=now),
        "issuer": _issuer(session, operator_id, issuer_url),
        "until": lease.ends_at,
        "now": now,
    }
    if since is None:
        return full(session, operator_id, number, shard, **args)
    return delta(session, operator_id, number, shard, since=since, **args)


def for_the_world(
    session: Session,
    slug: str,
    number: int,
    *,
    issuer_url: str,
    passphrase: bytes,
    now: datetime,
) -> str:
    """Return a campaign's whole list as the Token Status List has it, under a token's own `uri`.

    Nobody is signed in: the transaction enters the operator that the address names.

    Raises:
        Unknown: No such operator, or no campaign of this number.
    """
    operator = operators.operator_named(session, slug)
    acting.enter(session, operator.id)
    campaign = _campaign(session, operator.id, number)
    key = server_keys.in_use(session, operator.id, passphrase=passphrase, now=now)
    shards = {
        shard: _shard(session, campaign, shard, now=now)[1]
        for shard in shards_of(session, campaign)
    }
    until = now + timedelta(seconds=WORLD_SECONDS)
    issuer = _issuer(session, operator.id, issuer_url)
    claims = {
        **_head(issuer, campaign, until=until, now=now),
        "status_list": {"bits": 1, "lst": codec.pack_shards(shards)},
    }
    return sign_typed(claims, key.private, Typ.STATUS_LIST, kid=key.kid)


def named(session: Session, campaigns: Iterable[Campaign]) -> list[ListNamed]:
    """Return the lists of these campaigns, each with the version that was kept last; 0 is none."""
    return [
        ListNamed(
            cmp=campaign.number, shard=shard, ver=max(0, _last_kept(session, campaign, shard))
        )
        for campaign in campaigns
        for shard in shards_of(session, campaign)
    ]


def shards_of(session: Session, campaign: Campaign) -> list[int]:
    """Return the shards in which coupons of this campaign have places, or had."""
    issued = limits.campaign_key(campaign.id, LimitOf.ISSUE)
    row = session.connection().execute(_PLACES, {**_own(campaign), "key": issued}).one()
    coupons, further = (
        range(which, 2 * math.ceil(count / codec.SHARD_PLACES), 2)
        for which, count in enumerate((row.issued, row.further_places))
    )
    return sorted([*coupons, *further])


def _campaign(session: Session, operator_id: UUID, number: int) -> Campaign:
    campaign = session.exec(
        select(Campaign).where(
            col(Campaign.operator_id) == operator_id, col(Campaign.number) == number
        )
    ).one_or_none()
    if campaign is None:
        raise Unknown("status_list", str(number))
    return campaign


def _refuse_other_shards(session: Session, campaign: Campaign, shard: int) -> None:
    """Nobody makes us keep lists in which nothing lies."""
    if shard not in shards_of(session, campaign):
        raise Unknown("status_list", f"{campaign.number}/{shard}")


def _shard(session: Session, campaign: Campaign, shard: int, *, now: datetime) -> tuple[int, bytes]:
    """Return a shard as it stands now, and its version; keep it where what is kept is old."""
    kept = _kept(session, campaign, shard)
    withdrawn = _withdrawn(session, campaign)
    ver, bits = _millis(now), None
    if kept is not None:
        ver = max(ver, kept.ver)
        if _is_set_back(kept.ver, now):
            ver = kept.ver + 1  # a sandbox's clock: what is kept is of another time
        elif set(withdrawn) <= set(kept.withdrawn):
            bits = _next(session, campaign, shard, kept, now=now)
    is_anew = bits is None
    if bits is None:
        bits = _everything(session, campaign, shard, now=now)
    if is_anew or kept is None or now - _moment(kept.ver) >= KEPT_AGAIN:
        _keep(session, campaign, shard, ver, bits, withdrawn)
    return ver, bits


def _next(
    session: Session, campaign: Campaign, shard: int, kept: StatusList, *, now: datetime
) -> bytes | None:
    """Return what is kept with all that was touched since; None if that is very much."""
    allow_bulk(session)
    touched = _touched(session, campaign, shard, since=kept.ver, most=MOST_STEPS, now=now)
    if touched is None:
        return None
    bits = bytearray(codec.inflated(kept.bits))
    for place, is_on in touched.items():
        codec.put(bits, place, is_on=is_on)
    return bytes(bits)


def _touched(
    session: Session, campaign: Campaign, shard: int, *, since: int, most: int, now: datetime
) -> dict[int, bool] | None:
    """Return the places that were touched since then as they stand now; None if they are more.

    Some may be told that nothing happened to. Batches that were withdrawn are not looked for.
    """
    looked = _moment(since) - OVERLAP
    values = {
        **_asked(session, campaign, shard, now=now),
        "since": looked,
        # An activation ends by the clock alone, and nothing is written then.
        "activated_since": looked - LONGEST_ACTIVATION,
        "most": most + 1,
    }
    rows = bulk.read(session, _TOUCHED, values)
    left = bulk.read(session, _LEFT, values)
    return _places(rows, left, shard) if len(rows) + len(left) <= most else None


def _everything(session: Session, campaign: Campaign, shard: int, *, now: datetime) -> bytes:
    """Look at every coupon. PostgreSQL puts eight into a byte, so a million are few rows."""
    allow_bulk(session)
    bits = bytearray(codec.empty())
    for row in bulk.read(session, _EVERYTHING, _asked(session, campaign, shard, now=now)):
        bits[row.at] = row.bits
    return bytes(bits)


def _asked(session: Session, campaign: Campaign, shard: int, *, now: datetime) -> dict[str, Any]:
    first = shard * codec.SHARD_PLACES
    return {
        **_own(campaign),
        "now": now,
        "withdrawn": _withdrawn(session, campaign),
        "suspended": _suspended(session, campaign),
        "first": first,
        "end": first + codec.SHARD_PLACES,
    }


def _places(coupons: Iterable[Any], left: Iterable[Any], shard: int) -> dict[int, bool]:
    first = shard * codec.SHARD_PLACES
    end = first + codec.SHARD_PLACES
    places: dict[int, bool] = {}
    for row in coupons:
        if first <= row.position < end:
            places[row.position - first] = row.is_over or row.is_activated
        further = row.activated_position
        if further is not None and first <= further < end:
            places[further - first] = row.is_over or not row.is_activated
    return places | {row.position - first: True for row in left}


def _withdrawn(session: Session, campaign: Campaign) -> list[UUID]:
    """Return the batches that were revoked with their coupons."""
    return list(session.connection().execute(_WITHDRAWN, _own(campaign)).scalars().all())


def _suspended(session: Session, campaign: Campaign) -> list[bytes]:
    """Return the keys of the phones whose coupons do not work for now."""
    return list(session.connection().execute(_SUSPENDED, _own(campaign)).scalars().all())


def _has_withdrawn_since(session: Session, campaign: Campaign, since: int) -> bool:
    batches = _withdrawn(session, campaign)
    if not batches:
        return False
    values = {**_own(campaign), "batches": batches, "since": _moment(since) - OVERLAP}
    return bool(session.connection().execute(_WITHDRAWN_SINCE, values).scalar_one())


def _kept(session: Session, campaign: Campaign, shard: int) -> StatusList | None:
    return session.get(
        StatusList, (campaign.operator_id, campaign.id, shard), populate_existing=True
    )


def _last_kept(session: Session, campaign: Campaign, shard: int) -> int:
    values = {**_own(campaign), "shard": shard}
    return session.connection().execute(_LAST_KEPT, values).scalar_one_or_none() or -1


def _keep(
    session: Session,
    campaign: Campaign,
    shard: int,
    ver: int,
    bits: bytes,
    withdrawn: Sequence[UUID],
) -> None:
    values = {
        **_own(campaign),
        "shard": shard,
        "ver": ver,
        "bits": codec.deflated(bits),
        "withdrawn": list(withdrawn),
    }
    session.connection().execute(_KEEP, values)


def _issuer(session: Session, operator_id: UUID, issuer_url: str) -> str:
    return f"{issuer_url}/{session.get_one(Operator, operator_id).slug}"


def _head(issuer: str, campaign: Campaign, *, until: datetime, now: datetime) -> dict[str, Any]:
    return {
        "sub": f"{issuer}/sl/{campaign.number}",
        "iat": math.floor(now.timestamp()),
        "exp": math.floor(until.timestamp()),
        "ttl": TTL_SECONDS,
    }


def _signed(claims: StatusListClaims, key: ServerKeyPair) -> str:
    said = claims.model_dump(mode="json", exclude_none=True)
    return sign_typed(said, key.private, Typ.STATUS_LIST, kid=key.kid)


def _own(campaign: Campaign) -> dict[str, Any]:
    return {"operator_id": campaign.operator_id, "campaign_id": campaign.id}


def _is_set_back(known: int, now: datetime) -> bool:
    """Was this version made at an hour that is still to come? Servers differ by a moment."""
    return _moment(known) > now + SKEW


def _millis(now: datetime) -> int:
    return (now - _EPOCH) // _MILLI


def _moment(millis: int) -> datetime:
    return _EPOCH + millis * _MILLI


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI = timedelta(milliseconds=1)

_COLUMNS = """
    coupon.position, coupon.activated_position,
    (CASE WHEN coupon.balance_minor IS NULL THEN coupon.uses_count >= coupon.uses
          ELSE coupon.spent_minor >= coupon.balance_minor END
     OR coupon.revoked_at IS NOT NULL
     OR coupon.batch_id = ANY(%(withdrawn)s)
     OR coalesce(coupon.holder_key = ANY(%(suspended)s::bytea[]), false)) AS is_over,
    coalesce(coupon.activated_until > %(now)s, false) AS is_activated
"""
_IN_SHARD = """
    (coupon.position >= %(first)s AND coupon.position < %(end)s
     OR coupon.activated_position >= %(first)s AND coupon.activated_position < %(end)s)
"""
_OF_CAMPAIGN = "operator_id = %(operator_id)s AND campaign_id = %(campaign_id)s"
_EVERYTHING = f"""
    WITH listed AS MATERIALIZED (
        SELECT {_COLUMNS} FROM coupon WHERE {_OF_CAMPAIGN} AND {_IN_SHARD}
    ), places AS (
        SELECT position FROM listed WHERE is_over OR is_activated
        UNION ALL SELECT activated_position FROM listed WHERE is_over OR NOT is_activated
        UNION ALL SELECT position FROM void_place WHERE {_OF_CAMPAIGN}
    )
    SELECT CAST((position - %(first)s) >> 3 AS int) AS at,
           bit_or(1 << CAST(position & 7 AS int)) AS bits
    FROM places WHERE position >= %(first)s AND position < %(end)s
    GROUP BY 1
"""  # noqa: S608 (our own words)
_TOUCHED = f"""
    WITH touched AS MATERIALIZED (
        SELECT coupon_id AS id FROM redemption
        WHERE {_OF_CAMPAIGN} AND redeemed_at >= %(since)s
        UNION SELECT coupon_id FROM redemption
        WHERE {_OF_CAMPAIGN} AND reversed_at >= %(since)s
        UNION SELECT coupon_id FROM journal_entry
        WHERE {_OF_CAMPAIGN} AND received_at >= %(since)s AND coupon_id IS NOT NULL
        UNION SELECT id FROM coupon WHERE {_OF_CAMPAIGN} AND revoked_at >= %(since)s
        UNION SELECT id FROM coupon WHERE {_OF_CAMPAIGN} AND activated_at >= %(activated_since)s
          AND (activated_at >= %(since)s
               OR activated_until > %(since)s AND activated_until <= %(now)s)
        UNION SELECT id FROM coupon WHERE {_OF_CAMPAIGN} AND holder_key IN (
            SELECT holder_key FROM disputed_holder WHERE operator_id = %(operator_id)s
              AND (suspended_at >= %(since)s OR lifted_at >= %(since)s))
    )
    SELECT {_COLUMNS} FROM touched
    JOIN LATERAL (
        SELECT * FROM coupon WHERE operator_id = %(operator_id)s AND id = touched.id LIMIT 1
    ) AS coupon ON true
    WHERE {_IN_SHARD}
    LIMIT %(most)s
"""  # noqa: S608 (our own words)
_WITHDRAWN = text("""
    SELECT id FROM batch
    WHERE operator_id = :operator_id AND campaign_id = :campaign_id
      AND decided = 'revoked' AND NOT coupons_stay_valid
""")
_SUSPENDED = text("""
    SELECT holder_key FROM disputed_holder
    WHERE operator_id = :operator_id AND suspended_at IS NOT NULL
""")
_WITHDRAWN_SINCE = text("""
    SELECT EXISTS (
        SELECT FROM event
        WHERE operator_id = :operator_id AND campaign_id = :campaign_id
          AND subject_id = ANY(:batches) AND kind = 'batch_decided' AND at >= :since
    )
""")
_LEFT = f"""
    SELECT position FROM void_place
    WHERE {_OF_CAMPAIGN} AND void_at >= %(since)s
      AND position >= %(first)s AND position < %(end)s
    LIMIT %(most)s
"""  # noqa: S608 (our own words)
_PLACES = text("""
    SELECT further_places, coalesce((
        SELECT used_count FROM limit_row WHERE operator_id = :operator_id AND key = :key
    ), 0) AS issued
    FROM campaign WHERE operator_id = :operator_id AND id = :campaign_id
""")
_LAST_KEPT = text("""
    SELECT ver FROM status_list
    WHERE operator_id = :operator_id AND campaign_id = :campaign_id AND shard = :shard
""")
# Of two who keep one at once, the newer stays.
_KEEP = text("""
    INSERT INTO status_list (operator_id, campaign_id, shard, ver, bits, withdrawn)
    VALUES (:operator_id, :campaign_id, :shard, :ver, :bits, CAST(:withdrawn AS uuid[]))
    ON CONFLICT (operator_id, campaign_id, shard) DO UPDATE
    SET ver = excluded.ver, bits = excluded.bits, withdrawn = excluded.withdrawn
    WHERE status_list.ver < excluded.ver
""")
