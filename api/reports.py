"""The report: what is in the record about each campaign."""

from fastapi import APIRouter

from api.deps import Looking, Now, OperatorId
from api.problems import can_fail_with
from coupon_engine import reports
from schemas.campaigns import ReportView

router = APIRouter(tags=["Campaigns"])


@router.get("/report", responses=can_fail_with())
def report(session: Looking, operator_id: OperatorId, now: Now) -> ReportView:
    """Counts and sums for every campaign. It counts; it explains nothing."""
    return reports.report(session, operator_id, now=now)
