"""Every no in words: for the customer, the cashier and the developer.

The sentences are data. A sentence with a placeholder is told when its fact is known, else the
plain one. Every forgery sounds alike at the counter; only the code tells them apart, in the record.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date

from schemas.money import Language, in_words
from schemas.offers import Weekday
from schemas.refusals import Reason, Refusal, Sentences, Why

Both = tuple[str, str]
"""The same in English and in Chinese."""

_NOT_VALID: Both = ("Not a valid coupon.", "无效的券。")

CUSTOMER: Mapping[Why, Both] = {
    Why.NOT_A_COUPON: ("This is not a coupon.", "这不是券码。"),
    Why.MALFORMED: _NOT_VALID,
    Why.UNKNOWN_KEY: _NOT_VALID,
    Why.KEY_SCOPE: _NOT_VALID,
    Why.BAD_SIGNATURE: _NOT_VALID,
    Why.BAD_HOLDER_SIGNATURE: _NOT_VALID,
    Why.COUPON_UNKNOWN: _NOT_VALID,
    Why.STALE: ("This code is too old. Please refresh it.", "券码已失效，请刷新后再出示。"),
    Why.CLOCK_AHEAD: ("Your phone's clock is wrong.", "您的手机时间不准，请校准后再试。"),
    Why.CHALLENGE_REQUIRED: (
        "Please type the digits from the counter into the app.",
        "请在应用中输入收银台显示的数字。",
    ),
    Why.LIVE_CODE_REQUIRED: (
        "A screenshot or paper is not enough. Please open the app.",
        "截图或纸质券码无效，请打开应用出示。",
    ),
    Why.SHORT_CODE_UNKNOWN: ("Please check the code.", "请核对短码。"),
    Why.UNCLAIMED: ("Please claim this coupon first.", "请先领取此券。"),
    Why.REVOKED: ("This coupon was withdrawn.", "此券已失效。"),
    Why.SUPERSEDED: (
        "This coupon has moved to another phone. Please refresh it.",
        "此券已转到另一部手机，请刷新。",
    ),
    Why.NOT_YET: ("This coupon is not valid yet.", "此券尚未生效。"),
    Why.EXPIRED: ("This coupon has expired.", "此券已过期。"),
    Why.ALREADY_REDEEMED: ("This coupon was already used.", "此券已使用。"),
    Why.BALANCE_EMPTY: ("Nothing is left on this coupon.", "此券余额已用完。"),
    Why.HELD: ("This coupon is in use at another counter.", "此券正在其他收银台使用。"),
    Why.GIVEN: (
        "You are giving this coupon away. Take it back to use it.",
        "此券正在转赠中，收回后方可使用。",
    ),
    Why.CAMPAIGN_NOT_RUNNING: ("This offer has not started.", "活动尚未开始。"),
    Why.CAMPAIGN_PAUSED: ("This offer is paused. Please try later.", "活动已暂停，请稍后再试。"),
    Why.CAMPAIGN_ENDED: ("This offer has ended.", "活动已结束。"),
    Why.BATCH_CLOSED: ("These coupons are no longer given out.", "此批券已停止发放。"),
    Why.WRONG_STORE: ("Not valid in this store.", "此券不适用于本门店。"),
    Why.OUTSIDE_HOURS: ("Not valid at this hour.", "当前时段不可用。"),
    Why.WRONG_CUSTOMER: ("This coupon belongs to somebody else.", "此券属于其他顾客。"),
    Why.NOT_FIRST_PURCHASE: ("Only for a first purchase.", "仅限首次消费使用。"),
    Why.WRONG_SEGMENT: ("This coupon is for selected customers.", "此券仅限指定顾客使用。"),
    Why.BASKET_REQUIRED: ("The amount is needed first.", "请先提供消费金额。"),
    Why.BASKET_CHANGED: (
        "The basket has changed since the first coupon.",
        "购物篮与首次用券时不一致。",
    ),
    Why.LINES_REQUIRED: ("The list of items is needed first.", "请先提供商品明细。"),
    Why.WRONG_CURRENCY: ("Not valid in this currency.", "此券不适用于该币种。"),
    Why.BELOW_MINIMUM: ("The amount is too small for this coupon.", "消费金额未达到使用门槛。"),
    Why.NO_MATCHING_ITEM: ("No item here is part of this offer.", "没有适用此券的商品。"),
    Why.TOO_FEW_ITEMS: ("More items of this offer are needed.", "适用商品的件数不足。"),
    Why.NOTHING_TO_DISCOUNT: (
        "Nothing to take off here. The coupon stays yours.",
        "没有可优惠的金额，此券仍为您保留。",
    ),
    Why.NOT_COMBINABLE: ("Not together with your other coupon.", "不能与其他券同时使用。"),
    Why.STACKING_ORDER: (
        "This coupon must be used before the other one.",
        "此券须在另一张券之前使用。",
    ),
    Why.BUDGET_SPENT: ("This offer has been used up.", "优惠已用完。"),
    Why.LIMIT_REACHED: ("This offer has been used up.", "优惠已用完。"),
    Why.CUSTOMER_LIMIT_REACHED: (
        "You have used this offer as much as one person may.",
        "您已达到此优惠的使用上限。",
    ),
    Why.SUSPENDED: (
        "This coupon does not work just now. Please look into the app, or ask the shop.",
        "此券目前不可用，请查看应用或咨询商家。",
    ),
    Why.ONLINE_REQUIRED: (
        "This coupon needs a connection. Please try again in a moment.",
        "此券需要联网核销，请稍后再试。",
    ),
    Why.QUOTA_REACHED: (
        "This counter needs a connection first. Your coupon stays good.",
        "本收银台需先联网，您的券仍然有效。",
    ),
    Why.LEASE_EXPIRED: (
        "This counter needs a connection first. Your coupon stays good.",
        "本收银台需先联网，您的券仍然有效。",
    ),
}

CASHIER: Mapping[Why, Both] = {
    Why.NOT_A_COUPON: ("No coupon found.", "未识别到券码。"),
    Why.MALFORMED: _NOT_VALID,
    Why.UNKNOWN_KEY: _NOT_VALID,
    Why.KEY_SCOPE: _NOT_VALID,
    Why.BAD_SIGNATURE: _NOT_VALID,
    Why.BAD_HOLDER_SIGNATURE: _NOT_VALID,
    Why.COUPON_UNKNOWN: _NOT_VALID,
    Why.STALE: ("Ask the customer to refresh the code.", "请顾客刷新券码。"),
    Why.CLOCK_AHEAD: ("The phone's clock is wrong.", "顾客手机时间不准。"),
    Why.CHALLENGE_REQUIRED: (
        "The customer types your digits into the app.",
        "请顾客在应用中输入屏幕上的数字。",
    ),
    Why.LIVE_CODE_REQUIRED: (
        "Screenshot or paper not allowed: open the app.",
        "不接受截图或纸质券码，请顾客打开应用。",
    ),
    Why.SHORT_CODE_UNKNOWN: ("Check the code.", "请核对短码。"),
    Why.UNCLAIMED: ("Nobody has claimed this coupon.", "此券尚未被领取。"),
    Why.REVOKED: ("Coupon withdrawn.", "此券已失效。"),
    Why.SUPERSEDED: ("Ask the customer to refresh the code.", "请顾客刷新券码。"),
    Why.NOT_YET: ("Not valid yet.", "尚未生效。"),
    Why.EXPIRED: ("Expired.", "已过期。"),
    Why.ALREADY_REDEEMED: ("Already used.", "已核销。"),
    Why.BALANCE_EMPTY: ("Nothing left on it.", "余额已用完。"),
    Why.HELD: ("In use at another counter.", "正在其他收银台使用。"),
    Why.GIVEN: ("The customer is giving it away.", "顾客正在转赠此券。"),
    Why.CAMPAIGN_NOT_RUNNING: ("The offer has not started.", "活动尚未开始。"),
    Why.CAMPAIGN_PAUSED: ("The offer is paused.", "活动已暂停。"),
    Why.CAMPAIGN_ENDED: ("The offer has ended.", "活动已结束。"),
    Why.BATCH_CLOSED: ("No longer given out.", "此批次已停止发放。"),
    Why.WRONG_STORE: ("Not valid in this store.", "不适用于本门店。"),
    Why.OUTSIDE_HOURS: ("Not valid at this hour.", "当前时段不可用。"),
    Why.WRONG_CUSTOMER: ("Belongs to another customer.", "此券属于其他顾客。"),
    Why.NOT_FIRST_PURCHASE: ("Only for a first purchase.", "仅限首次消费。"),
    Why.WRONG_SEGMENT: ("Only for selected customers.", "仅限指定顾客。"),
    Why.BASKET_REQUIRED: ("Enter the amount first.", "请先输入金额。"),
    Why.BASKET_CHANGED: (
        "The basket has changed: start a new receipt.",
        "购物篮已变更，请使用新的小票号。",
    ),
    Why.LINES_REQUIRED: ("Enter the items first.", "请先录入商品明细。"),
    Why.WRONG_CURRENCY: ("Wrong currency.", "币种不符。"),
    Why.BELOW_MINIMUM: ("Amount too small.", "金额未达到使用门槛。"),
    Why.NO_MATCHING_ITEM: ("No item of this offer in the basket.", "没有适用商品。"),
    Why.TOO_FEW_ITEMS: ("Too few items of this offer.", "适用商品件数不足。"),
    Why.NOTHING_TO_DISCOUNT: ("Nothing to take off.", "没有可优惠的金额。"),
    Why.NOT_COMBINABLE: ("Not together with the other coupon.", "不能与已用的券叠加。"),
    Why.STACKING_ORDER: (
        "Take the other coupon back and use this one first.",
        "请撤销另一张券的核销，先核销此券。",
    ),
    Why.BUDGET_SPENT: ("The offer's budget is used up.", "预算已用完。"),
    Why.LIMIT_REACHED: ("The offer has been used up.", "已达限额。"),
    Why.CUSTOMER_LIMIT_REACHED: ("The customer's limit is reached.", "该顾客已达使用上限。"),
    Why.SUSPENDED: ("Suspended for now.", "已暂停使用。"),
    Why.ONLINE_REQUIRED: ("Needs a connection.", "需要联网。"),
    Why.QUOTA_REACHED: ("Connect this scanner.", "请将终端联网。"),
    Why.LEASE_EXPIRED: ("Connect this scanner.", "请将终端联网。"),
}

DEVELOPER: Mapping[Why, Both] = {
    Why.NOT_A_COUPON: ("the text has not the shape of a coupon.", "文本不符合券码格式。"),
    Why.MALFORMED: ("the fields cannot be read.", "字段无法解析。"),
    Why.UNKNOWN_KEY: ("no key with this letter or id is known.", "没有对应的密钥。"),
    Why.KEY_SCOPE: (
        "the key may not sign for this campaign or at this time.",
        "该密钥无权为此活动或在此时间签名。",
    ),
    Why.BAD_SIGNATURE: ("the issuer's signature does not verify.", "发券方签名验证失败。"),
    Why.BAD_HOLDER_SIGNATURE: (
        "the phone's signature does not verify.",
        "持券手机的签名验证失败。",
    ),
    Why.COUPON_UNKNOWN: ("this operator has no such coupon.", "该平台没有此券。"),
    Why.STALE: ("the presentation was signed too long ago.", "出示签名的时间过早。"),
    Why.CLOCK_AHEAD: ("the presentation was signed in the future.", "出示签名的时间在未来。"),
    Why.CHALLENGE_REQUIRED: (
        "the presentation does not answer the challenge.",
        "出示内容未包含正确的质询数字。",
    ),
    Why.LIVE_CODE_REQUIRED: (
        "the campaign's level asks for a proof by the phone.",
        "活动等级要求手机签名。",
    ),
    Why.SHORT_CODE_UNKNOWN: ("no coupon has this short code.", "没有使用该短码的券。"),
    Why.UNCLAIMED: ("the coupon was minted and nobody holds it.", "券已生成但无人持有。"),
    Why.REVOKED: ("the coupon or its batch was revoked.", "该券或其批次已失效。"),
    Why.SUPERSEDED: (
        "the token was replaced, or bound to another key since.",
        "券码已被替换或改绑到其他密钥。",
    ),
    Why.NOT_YET: ("now is before the window of validity.", "当前时间早于有效期。"),
    Why.EXPIRED: ("now is not before the end of validity.", "当前时间已过有效期。"),
    Why.ALREADY_REDEEMED: ("every use has been redeemed.", "可用次数已全部核销。"),
    Why.BALANCE_EMPTY: ("the gift balance is spent.", "礼品余额已用完。"),
    Why.HELD: ("another hold is open on the coupon.", "该券正被另一次预占。"),
    Why.GIVEN: (
        "the holder offers the coupon to a friend, who has not taken it yet.",
        "持有人正在转赠该券，对方尚未领取。",
    ),
    Why.CAMPAIGN_NOT_RUNNING: ("nobody has approved the campaign yet.", "活动尚未批准。"),
    Why.CAMPAIGN_PAUSED: ("a pause stops redeeming.", "暂停期间停止核销。"),
    Why.CAMPAIGN_ENDED: (
        "the campaign was ended and its coupons with it.",
        "活动已终止，其券一并失效。",
    ),
    Why.BATCH_CLOSED: ("the batch is closed.", "批次已关闭。"),
    Why.WRONG_STORE: ("the store is not among those allowed.", "该门店不在适用范围内。"),
    Why.OUTSIDE_HOURS: (
        "the store's clock is outside the hours of the offer.",
        "门店当地时间不在可用时段内。",
    ),
    Why.WRONG_CUSTOMER: ("the customer is not the holder.", "该顾客不是持券人。"),
    Why.NOT_FIRST_PURCHASE: (
        "the customer is unknown or has purchased before.",
        "顾客未知或已有消费记录。",
    ),
    Why.WRONG_SEGMENT: (
        "the customer is unknown or in none of the segments.",
        "顾客未知或不属于任何指定人群。",
    ),
    Why.BASKET_REQUIRED: ("the offer cannot be judged without a basket.", "缺少购物篮。"),
    Why.BASKET_CHANGED: (
        "this receipt had another basket at its first coupon.",
        "该小票首次用券时是另一个购物篮。",
    ),
    Why.LINES_REQUIRED: (
        "the offer cannot be judged by a total alone; send lines.",
        "仅有总额无法判断，请提供商品明细。",
    ),
    Why.WRONG_CURRENCY: ("the basket is in another currency.", "购物篮币种与活动不一致。"),
    Why.BELOW_MINIMUM: (
        "the whole basket, before any coupon, is below the minimum.",
        "购物篮总额（用券前）低于最低消费。",
    ),
    Why.NO_MATCHING_ITEM: ("no line is in scope.", "没有商品在适用范围内。"),
    Why.TOO_FEW_ITEMS: (
        "too few units in scope that still cost something.",
        "适用范围内未免单的商品件数不足。",
    ),
    Why.NOTHING_TO_DISCOUNT: ("the discount would be 0.", "优惠金额为0。"),
    Why.NOT_COMBINABLE: (
        "an earlier coupon of this basket shares an exclusivity group.",
        "与购物篮中已用的券属于同一互斥组。",
    ),
    Why.STACKING_ORDER: (
        "an earlier coupon of this basket has a higher stacking order.",
        "购物篮中已用的券叠加顺序靠后。",
    ),
    Why.BUDGET_SPENT: ("the money ceiling would be exceeded.", "将超出预算。"),
    Why.LIMIT_REACHED: ("the count ceiling would be exceeded.", "将超出限额。"),
    Why.CUSTOMER_LIMIT_REACHED: (
        "the customer's own ceiling would be exceeded.",
        "将超出该顾客的限额。",
    ),
    Why.SUSPENDED: (
        "activated for another store until then, or on a phone that is suspended for disputes.",
        "该券在此之前已激活于其他门店，或其手机因争议被暂停。",
    ),
    Why.ONLINE_REQUIRED: (
        "the terminal may not decide this without the server.",
        "终端不得离线判定该券。",
    ),
    Why.QUOTA_REACHED: (
        "the lease's allowance for this campaign is used up.",
        "该租约在此活动的离线额度已用完。",
    ),
    Why.LEASE_EXPIRED: ("the terminal's lease is over.", "终端的离线租约已到期。"),
}

# Told instead where the reason knows the fact: the name in braces is a key of `Reason.needs`.
CUSTOMER_EXACT: Mapping[Why, tuple[str, Both]] = {
    Why.NOT_YET: ("from", ("Valid from {from}.", "{from}起可用。")),
    Why.EXPIRED: ("until", ("Expired {until}.", "此券已于{until}过期。")),
    Why.ALREADY_REDEEMED: ("at", ("Already used {at}.", "此券已于{at}使用。")),
    Why.HELD: (
        "until",
        ("In use at another counter until {until}.", "此券正在其他收银台使用，{until}后可再试。"),
    ),
    Why.OUTSIDE_HOURS: ("from", ("Not now. Valid from {from}.", "现在不可用，{from}起可用。")),
    Why.BELOW_MINIMUM: (
        "add_minor",
        ("Add {add_minor} more to use this coupon.", "再买{add_minor}即可使用此券。"),
    ),
    Why.LIMIT_REACHED: (
        "from",
        ("Too many people at once. It works again {from}.", "使用人数过多，{from}起可再试。"),
    ),
    Why.TOO_FEW_ITEMS: (
        "add_units",
        ("Add {add_units} more from this offer.", "再加{add_units}件适用商品即可使用此券。"),
    ),
    Why.WRONG_CURRENCY: ("currency", ("Only valid in {currency}.", "此券仅限{currency}消费。")),
    Why.CHALLENGE_REQUIRED: (
        "challenge",
        ("Please type {challenge} into the app.", "请在应用中输入{challenge}。"),
    ),
    Why.SUSPENDED: (
        "until",
        (
            "You have activated this coupon for another store until {until}.",
            "您已在其他门店激活此券，{until}后可再试。",
        ),
    ),
}

CASHIER_EXACT: Mapping[Why, tuple[str, Both]] = {
    Why.NOT_YET: ("from", ("Valid from {from}.", "{from}起可用。")),
    Why.EXPIRED: ("until", ("Expired {until}.", "已于{until}过期。")),
    Why.ALREADY_REDEEMED: ("at", ("Already used {at}.", "已于{at}核销。")),
    Why.HELD: (
        "until",
        ("In use at another counter until {until}.", "正在其他收银台使用，{until}后可再试。"),
    ),
    Why.OUTSIDE_HOURS: ("from", ("Not now. Valid from {from}.", "现在不可用，{from}起可用。")),
    Why.BELOW_MINIMUM: ("add_minor", ("Add {add_minor} more.", "还差{add_minor}。")),
    Why.LIMIT_REACHED: (
        "from",
        ("Too many at once: try again {from}.", "使用人数过多，{from}后可再试。"),
    ),
    Why.TOO_FEW_ITEMS: (
        "add_units",
        ("Add {add_units} more from the offer.", "还差{add_units}件适用商品。"),
    ),
    Why.WRONG_CURRENCY: ("currency", ("Only valid in {currency}.", "仅限{currency}。")),
    Why.CHALLENGE_REQUIRED: (
        "challenge",
        ("The customer types {challenge} into the app.", "请顾客在应用中输入{challenge}。"),
    ),
    Why.SUSPENDED: (
        "until",
        ("Active in another store until {until}.", "已在其他门店激活，{until}后可再试。"),
    ),
    Why.BUDGET_SPENT: (
        "left_minor",
        ("The offer has only {left_minor} left.", "预算仅剩{left_minor}。"),
    ),
}


def refusal(
    reasons: Sequence[Reason], *, currency: str | None, zone: str, now: datetime | None = None
) -> Refusal:
    """Word a refusal; the first reason decides its code and its sentences.

    Amounts are told in this currency, and not without one. Times are told on this zone's clock:
    with `now` as a person would say them (today, Tuesday), without it by the full date.
    """
    first = reasons[0]
    told = {
        key: fact
        for key, value in first.needs.items()
        if value and (fact := _told(key, value, currency=currency, zone=zone, now=now))
    }
    return Refusal(
        code=first.code,
        reasons=tuple(reasons),
        customer=_sentences(CUSTOMER[first.code], CUSTOMER_EXACT.get(first.code), told),
        cashier=_sentences(CASHIER[first.code], CASHIER_EXACT.get(first.code), told),
        developer=_for_developer(first),
    )


def _sentences(plain: Both, exact: tuple[str, Both] | None, told: Mapping[str, Both]) -> Sentences:
    if exact is None or exact[0] not in told:
        return Sentences(en=plain[0], zh=plain[1])
    key, (en, zh) = exact
    fact_en, fact_zh = told[key]
    return Sentences(en=en.format_map({key: fact_en}), zh=zh.format_map({key: fact_zh}))


def _for_developer(reason: Reason) -> Sentences:
    en, zh = DEVELOPER[reason.code]
    return Sentences(en=f"{reason.rule}: {en}", zh=f"{reason.rule}：{zh}")


# A fact as a person says it.

_AMOUNTS = frozenset(("add_minor", "left_minor"))
_TIMES = frozenset(("from", "until", "at"))
_AS_IT_IS = frozenset(("add_units", "currency", "challenge"))


def _told(
    key: str, value: object, *, currency: str | None, zone: str, now: datetime | None
) -> Both | None:
    """Return a fact in words; None where it is for programs alone."""
    if key in _AMOUNTS and currency is not None:
        assert isinstance(value, int)
        return amount_in_words(value, currency)
    if key in _TIMES:
        instant, is_end = datetime.fromisoformat(str(value)), key == "until"
        return (
            moment_in_words(instant, "en", zone, now=now, is_end=is_end),
            moment_in_words(instant, "zh", zone, now=now, is_end=is_end),
        )
    if key in _AS_IT_IS:
        return str(value), str(value)
    return None


@lru_cache(maxsize=4_096)
def amount_in_words(minor: int, currency: str) -> Both:
    return in_words(minor, currency, "en"), in_words(minor, currency, "zh")


NEAR: Mapping[int, Both] = {
    -1: ("yesterday", "昨天"),
    0: ("today", "今天"),
    1: ("tomorrow", "明天"),
}
_THIS_WEEK: Both = ("EEEE", "EEE")
_THIS_YEAR: Both = ("MMMM d,", "M月d日")
_ANY_YEAR: Both = ("MMMM d, y,", "y年M月d日")
_BABEL = {"en": Locale("en", "US"), "zh": Locale("zh", "CN", script="Hans")}
_MIDNIGHT = time(0, 0)


def moment_in_words(
    instant: datetime, language: Language, zone: str, *, now: datetime | None, is_end: bool
) -> str:
    """Tell a time of this zone. An end at midnight is 24:00 of the day that it ends."""
    local = instant.astimezone(ZoneInfo(zone))
    day, clock = local.date(), f"{local:%H:%M}"
    if is_end and local.time() == _MIDNIGHT:
        day, clock = day - timedelta(days=1), "24:00"
    today = None if now is None else now.astimezone(ZoneInfo(zone)).date()
    return f"{_day(day, language, today)} {clock}"


def _day(day: date, language: Language, today: date | None) -> str:
    if today is None:
        pattern = _ANY_YEAR
    elif near := NEAR.get((day - today).days):
        return spoken(language, near)
    elif abs((day - today).days) < len(Weekday):
        pattern = _THIS_WEEK
    else:
        pattern = _THIS_YEAR if day.year == today.year else _ANY_YEAR
    return format_date(day, spoken(language, pattern), locale=_BABEL[language])


def spoken(language: Language, both: Both) -> str:
    return both[0] if language == "en" else both[1]
