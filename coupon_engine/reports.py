"""What is in the record about each campaign. It counts; it explains nothing."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from schemas.campaigns import CampaignReport, ReportView


def report(session: Session, operator_id: UUID, *, now: datetime) -> ReportView:
    """Return counts and sums for every campaign of this operator, in the order of their numbers.

    A redemption that was reversed whole is counted as reversed and no longer as redeemed; of those
    without a network a disputed one is told apart, and a provisional one, which is still counted as
    redeemed, as well. Money
    that came back is not in the discount, and a basket of several coupons is one. `rate_bp` is
    coupons redeemed at least once, of all coupons issued, in hundredths of a percent; the time is
    the median from issue to first use.
    """
    rows = session.connection().execute(_REPORT, {"operator_id": operator_id})
    campaigns = [CampaignReport.model_validate(dict(row)) for row in rows.mappings()]
    return ReportView(at=now, campaigns=tuple(campaigns))


_REPORT = text("""
    WITH issued AS (
        SELECT campaign_id, count(*) AS coupons FROM coupon
        WHERE operator_id = :operator_id GROUP BY campaign_id
    ), used AS (
        SELECT redemption.campaign_id, redemption.coupon_id, min(redemption.redeemed_at) AS first
        FROM redemption
        WHERE operator_id = :operator_id AND reversed_at IS NULL AND decided <> 'disputed'
        GROUP BY redemption.campaign_id, redemption.coupon_id
    ), times AS (
        SELECT used.campaign_id, count(*) AS coupons,
               percentile_disc(0.5) WITHIN GROUP (
                   ORDER BY extract(epoch FROM used.first - coupon.issued_at)) AS median_seconds
        FROM used JOIN coupon ON coupon.operator_id = :operator_id AND coupon.id = used.coupon_id
        GROUP BY used.campaign_id
    ), redeemed AS (
        SELECT campaign_id,
               count(*) FILTER (WHERE reversed_at IS NULL AND decided <> 'disputed') AS redeemed,
               count(*) FILTER (WHERE decided = 'provisional') AS provisional,
               count(*) FILTER (WHERE decided = 'disputed') AS disputed,
               count(*) FILTER (WHERE reversed_at IS NOT NULL) AS reversed,
               sum(discount_minor - reversed_minor) FILTER (WHERE decided <> 'disputed')
                   AS discount_minor
        FROM redemption WHERE operator_id = :operator_id GROUP BY campaign_id
    ), baskets AS (
        SELECT campaign_id, sum(basket_minor) AS basket_minor FROM (
            SELECT DISTINCT ON (campaign_id, store_id, coalesce(order_ref, id::text))
                   campaign_id, basket_minor
            FROM redemption
            WHERE operator_id = :operator_id AND reversed_at IS NULL AND decided <> 'disputed'
        ) AS one_each GROUP BY campaign_id
    )
    SELECT campaign.id AS campaign_id, campaign.name, campaign.currency,
           coalesce(issued.coupons, 0) AS issued,
           coalesce(redeemed.redeemed, 0) AS redeemed,
           coalesce(redeemed.provisional, 0) AS provisional,
           coalesce(redeemed.disputed, 0) AS disputed,
           coalesce(redeemed.reversed, 0) AS reversed,
           coalesce(times.coupons * 10000 / nullif(issued.coupons, 0), 0) AS rate_bp,
           coalesce(redeemed.discount_minor, 0)::bigint AS discount_minor,
           coalesce(baskets.basket_minor, 0)::bigint AS basket_minor,
           times.median_seconds::bigint AS median_seconds_to_redeem
    FROM campaign
    LEFT JOIN issued ON issued.campaign_id = campaign.id
    LEFT JOIN times ON times.campaign_id = campaign.id
    LEFT JOIN redeemed ON redeemed.campaign_id = campaign.id
    LEFT JOIN baskets ON baskets.campaign_id = campaign.id
    WHERE campaign.operator_id = :operator_id
    ORDER BY campaign.number
""")
