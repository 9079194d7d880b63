"""Would this coupon work, here, now, for this basket? The same answer everywhere.

Online, on a terminal without a network, in dry runs and in replays: this is the only judge. It
opens no file, asks no clock and knows no database. Ceilings on count and money are judged apart
(`ceilings.py`), last, under the locks that guard them.
"""

from coupon_engine.validation.conditions import unmet
from coupon_engine.validation.discounts import discount_of
from coupon_engine.validation.facts import Case, Discount
from coupon_engine.validation.wording import refusal
from schemas.refusals import Reason, Refusal, Why


def judge(case: Case) -> Discount | Refusal:
    """Say what the coupon takes off, or why it does not work.

    A refusal tells every condition that is not met. A coupon that would take nothing off is
    refused, so that nobody spends it for nothing.
    """
    if reasons := unmet(case):
        return _no(case, *reasons)
    discount = discount_of(case)
    if discount.minor == 0:
        return _no(case, Reason(code=Why.NOTHING_TO_DISCOUNT, rule="benefit", needs={}))
    return discount


def _no(case: Case, *reasons: Reason) -> Refusal:
    return refusal(reasons, currency=case.campaign.currency, zone=case.store.zone, now=case.now)
