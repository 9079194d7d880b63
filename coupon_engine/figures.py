"""How a campaign goes: its curve, its funnel, its hours, and where the present pace leads."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from coupon_engine.campaigns import campaign_view
from schemas.campaigns import CampaignView
from schemas.figures import (
    LONGEST,
    Figured,
    FiguresView,
    Forecast,
    Funnel,
    Point,
    Warmth,
)

_DAY = timedelta(days=1)
_LOOKED_AT = 7


def figures(
    session: Session,
    operator_id: UUID,
    campaign_id: UUID,
    figured: Figured,
    *,
    store_ids: Collection[UUID] | None = None,
    now: datetime,
) -> FiguresView:
    """Return the figures of a campaign, and of `store_ids` what was redeemed there alone.

    A redemption that was reversed whole counts as reversed and no longer as redeemed, and a
    disputed one not at all, as in the report.

    Raises:
        Unknown: No such campaign.
    """
    campaign = campaign_view(session, operator_id, campaign_id, now=now)
    since, until = _stretch(figured, campaign, now)
    own = None if store_ids is None else set(store_ids)
    if figured.store_id:
        own = {figured.store_id} if own is None else own & {figured.store_id}
    asked: dict[str, Any] = {
        "operator_id": operator_id,
        "campaign_id": campaign_id,
        "since": since,
        "until": until,
        "step": figured.step,
        "zone": campaign.zone,
        "all_stores": own is None,
        "store_ids": list(own or ()),
    }
    return FiguresView(
        at=now,
        campaign_id=campaign_id,
        currency=campaign.currency,
        zone=campaign.zone,
        step=figured.step,
        since=since,
        until=until,
        starts_at=campaign.starts_at,
        ends_at=campaign.ends_at,
        budget_minor=campaign.budget_minor,
        max_redemptions=campaign.max_redemptions,
        points=tuple(Point(**row) for row in _rows(session, _POINTS[figured.step], asked)),
        warmth=tuple(Warmth(**row) for row in _rows(session, _WARMTH, asked)),
        funnel=Funnel(**next(_rows(session, _FUNNEL, asked))),
        forecast=_forecast(session, asked, campaign, now) if own is None else None,
    )


def _stretch(figured: Figured, campaign: CampaignView, now: datetime) -> tuple[datetime, datetime]:
    """Return what is looked at: at least a step, and never more than may be drawn."""
    until = figured.until or min(max(now, campaign.starts_at + _DAY), campaign.ends_at)
    since = figured.since or campaign.starts_at
    since = max(min(since, until - timedelta(hours=1)), until - LONGEST[figured.step])
    return since, until


def _forecast(
    session: Session, asked: Mapping[str, Any], campaign: CampaignView, now: datetime
) -> Forecast | None:
    """Say where the present pace leads. Before a whole day is over there is no pace."""
    days = min(_LOOKED_AT, (min(now, campaign.ends_at) - campaign.starts_at) // _DAY)
    left = campaign.ends_at - now
    if days < 1 or left <= timedelta():
        return None
    pace = next(_rows(session, _PACE, {**asked, "since": now - days * _DAY, "until": now}))
    minor, redeemed = int(pace["minor"]), int(pace["redeemed"])
    ends = [
        now + (ceiling - used) * days * _DAY / total
        for ceiling, used, total in (
            (campaign.budget_minor, campaign.spent_minor, minor),
            (campaign.max_redemptions, campaign.redeemed_count, redeemed),
        )
        if total and (ceiling - used) * days * _DAY < total * left
    ]
    return Forecast(
        days_looked_at=days,
        per_day_minor=minor // days,
        per_day_redeemed=redeemed // days,
        ends_with_minor=min(
            campaign.budget_minor, campaign.spent_minor + minor * left // (days * _DAY)
        ),
        ends_with_redeemed=min(
            campaign.max_redemptions, campaign.redeemed_count + redeemed * left // (days * _DAY)
        ),
        stops_at=min(ends, default=None),
    )


def _rows(session: Session, query: str, asked: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for row in session.connection().execute(text(query), asked).mappings():
        yield dict(row)


_OWN = "(:all_stores OR store_id = ANY(:store_ids))"
_COUNTED = "reversed_at IS NULL AND decided <> 'disputed'"
# Days follow the campaign's clock, on which some are 23 or 25 hours long.
_STEPS = {
    "hour": """
        SELECT generate_series(
            date_trunc('hour', CAST(:since AS timestamptz), :zone),
            CAST(:until AS timestamptz) - interval '1 microsecond', '1 hour') AS at
    """,
    "day": """
        SELECT generate_series(
            date_trunc('day', CAST(:since AS timestamptz) AT TIME ZONE :zone),
            (CAST(:until AS timestamptz) AT TIME ZONE :zone) - interval '1 microsecond', '1 day'
        ) AT TIME ZONE :zone AS at
    """,
}
_POINTS = {
    step: f"""
        WITH step AS ({steps}), issued AS (
            SELECT date_trunc(:step, issued_at, :zone) AS at, count(*) AS issued FROM coupon
            WHERE operator_id = :operator_id AND campaign_id = :campaign_id
              AND issued_at >= :since AND issued_at < :until
            GROUP BY 1
        ), redeemed AS (
            SELECT date_trunc(:step, redeemed_at, :zone) AS at,
                   count(*) FILTER (WHERE {_COUNTED}) AS redeemed,
                   coalesce(sum(discount_minor - reversed_minor)
                            FILTER (WHERE decided <> 'disputed'), 0)::bigint AS discount_minor
            FROM redemption
            WHERE operator_id = :operator_id AND campaign_id = :campaign_id
              AND redeemed_at >= :since AND redeemed_at < :until AND {_OWN}
            GROUP BY 1
        ), reversed AS (
            SELECT date_trunc(:step, reversed_at, :zone) AS at, count(*) AS reversed
            FROM redemption
            WHERE operator_id = :operator_id AND campaign_id = :campaign_id
              AND reversed_at >= :since AND reversed_at < :until AND {_OWN}
            GROUP BY 1
        )
        SELECT step.at, coalesce(issued, 0) AS issued, coalesce(redeemed, 0) AS redeemed,
               coalesce(reversed, 0) AS reversed, coalesce(discount_minor, 0) AS discount_minor
        FROM step LEFT JOIN issued USING (at) LEFT JOIN redeemed USING (at)
        LEFT JOIN reversed USING (at)
        ORDER BY step.at
    """  # noqa: S608 (put together of our own texts alone)
    for step, steps in _STEPS.items()
}
_WARMTH = f"""
    SELECT store_id, extract(hour FROM redeemed_at AT TIME ZONE store.zone)::int AS hour,
           count(*) AS redeemed
    FROM redemption JOIN store ON store.operator_id = :operator_id AND store.id = store_id
    WHERE redemption.operator_id = :operator_id AND campaign_id = :campaign_id
      AND redeemed_at >= :since AND redeemed_at < :until AND {_OWN} AND {_COUNTED}
    GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608
_FUNNEL = f"""
    WITH mine AS (
        SELECT count(*) AS issued,
               count(*) FILTER (WHERE customer_id IS NOT NULL OR holder_key IS NOT NULL
                                OR last_redeemed_at IS NOT NULL) AS held
        FROM coupon WHERE operator_id = :operator_id AND campaign_id = :campaign_id
    ), used AS (
        SELECT count(DISTINCT coupon_id) FILTER (WHERE {_COUNTED}) AS redeemed,
               count(*) FILTER (WHERE reversed_at IS NOT NULL) AS reversed
        FROM redemption
        WHERE operator_id = :operator_id AND campaign_id = :campaign_id AND {_OWN}
    )
    SELECT issued, held, redeemed, reversed FROM mine, used
"""  # noqa: S608
_PACE = f"""
    SELECT count(*) FILTER (WHERE {_COUNTED}) AS redeemed,
           coalesce(sum(discount_minor - reversed_minor)
                    FILTER (WHERE decided <> 'disputed'), 0)::bigint AS minor
    FROM redemption
    WHERE operator_id = :operator_id AND campaign_id = :campaign_id
      AND redeemed_at >= :since AND redeemed_at < :until
"""  # noqa: S608
