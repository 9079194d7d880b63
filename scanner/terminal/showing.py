"""What a counter shows to a scan: a colour, a sign, a word and a sentence, in both languages.

No meaning is in the colour alone. One sentence stands for every forgery: only the record tells
them apart (`wording.py`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from coupon_engine.validation.wording import CASHIER, CUSTOMER, Both
from schemas.base import Wire
from schemas.baskets import LineDiscount
from schemas.money import Currency, in_words
from schemas.offers import Title
from schemas.redemptions import Challenge
from schemas.refusals import Refusal, Sentences, Why


class Colour(StrEnum):
    GREEN = "green"
    AMBER = "amber"  # it may work in a moment, if somebody does something
    RED = "red"
    GREY = "grey"  # nothing was judged


class Sign(StrEnum):
    """What stands beside the word, for whoever does not tell the colours apart."""

    TICK = "tick"
    TICK_AND_CLOUD = "tick_and_cloud"  # yes, and the server has still to hear of it
    EXCLAMATION = "exclamation"
    CROSS = "cross"
    QUESTION = "question"


class Slip(StrEnum):
    """What is wrong before there is a coupon to judge, or with the terminal itself."""

    TWO_CODES = "two_codes"
    UNREADABLE = "unreadable"
    NOT_A_PICTURE = "not_a_picture"
    NO_SUCH_FILE = "no_such_file"
    NOT_PAIRED = "not_paired"  # the server does not know this terminal (any more)
    ASK_AGAIN = "ask_again"  # nobody knows yet whether it was redeemed
    TOO_MANY_TRIES = "too_many_tries"
    NOT_UNDERSTOOD = "not_understood"
    NOBODY_SITS = "nobody_sits"  # there are cashiers here, and none has signed in
    WRONG_PIN = "wrong_pin"
    LOCKED_OUT = "locked_out"  # five wrong PINs


class Decider(StrEnum):
    """Who has decided."""

    SERVER = "server"
    HUB = "hub"
    TERMINAL = "terminal"


OK = "ok"
OK_OFFLINE = "ok_offline"


class Screen(Wire):
    """All that is shown, and told to programs at the counter, of one scan."""

    code: str  # `ok`, `ok_offline`, a `Why`, or a `Slip`
    colour: Colour
    sign: Sign
    word: Sentences
    cashier: Sentences
    customer: Sentences
    action: Sentences
    decided_by: Decider | None
    redemption_id: UUID | None = None
    coupon_id: UUID | None = None
    discount_minor: int | None = None
    currency: Currency | None = None
    lines: tuple[LineDiscount, ...] = ()
    is_provisional: bool = False
    challenge: Challenge | None = None  # digits that the customer types

    @property
    def is_accepted(self) -> bool:
        return self.code in (OK, OK_OFFLINE)


def accepted(
    *,
    redemption_id: UUID,
    coupon_id: UUID,
    discount_minor: int,
    currency: str,
    decided_by: Decider,
    title: Title | None = None,
    lines: tuple[LineDiscount, ...] = (),
    is_provisional: bool = False,
) -> Screen:
    """Show a yes, and what it is worth."""
    amount = in_words(discount_minor, currency, "en"), in_words(discount_minor, currency, "zh")
    benefit = _filled("benefit", title=(title.en, title.zh), amount=amount) if title else amount
    is_alone = decided_by is not Decider.SERVER
    yes = _filled("cashier", benefit=benefit)
    if is_alone:
        yes = _filled("alone", yes=yes)
    return Screen(
        code=OK_OFFLINE if is_alone else OK,
        colour=Colour.GREEN,
        sign=Sign.TICK_AND_CLOUD if is_alone else Sign.TICK,
        word=_both(WORDS[Colour.GREEN]),
        cashier=_both(yes),
        customer=_both(_filled("customer", amount=amount)),
        action=_both(_filled("action", amount=amount)),
        decided_by=decided_by,
        redemption_id=redemption_id,
        coupon_id=coupon_id,
        discount_minor=discount_minor,
        currency=currency,
        lines=lines,
        is_provisional=is_provisional,
    )


def refused(
    refusal: Refusal,
    *,
    decided_by: Decider,
    redemption_id: UUID | None = None,
    coupon_id: UUID | None = None,
    challenge: str | None = None,
) -> Screen:
    """Show a no of the judge, by whomever it was asked."""
    return Screen(
        **_no(refusal.code),
        cashier=refusal.cashier,
        customer=refusal.customer,
        decided_by=decided_by,
        redemption_id=redemption_id,
        coupon_id=coupon_id,
        challenge=challenge,
    )


def plainly(why: Why, *, decided_by: Decider | None = None) -> Screen:
    """Show a no of which nothing more is known."""
    return Screen(
        **_no(why),
        cashier=_both(CASHIER[why]),
        customer=_both(CUSTOMER[why]),
        decided_by=decided_by,
    )


def slipped(slip: Slip) -> Screen:
    """Show what is wrong where no coupon was judged."""
    sentence = SLIPS[slip]
    return Screen(
        **_no(slip), cashier=_both(sentence), customer=_both(TO_CUSTOMER), decided_by=None
    )


def colour_of(code: Why | Slip) -> Colour:
    if code in GREY:
        return Colour.GREY
    return Colour.AMBER if code in AMBER else Colour.RED


def line_of(screen: Screen, language: Literal["en", "zh"] = "en") -> str:
    """Return a scan in one line, for a console."""
    sentence: str = getattr(screen.cashier, language)
    return f"{MARKS[screen.sign]} {getattr(screen.word, language)}: {sentence}"


YES: Mapping[str, Both] = {
    "benefit": ("{title} ({amount})", "{title}（{amount}）"),
    "cashier": ("Coupon accepted: {benefit}", "已核销：{benefit}"),
    "alone": (
        "{yes}; without the network, the server hears of it later",
        "{yes}；离线核销，联网后上传",
    ),
    "customer": ("Thank you: {amount} off.", "谢谢，已优惠{amount}。"),
    "action": ("Take {amount} off.", "请减{amount}。"),
}
WORDS: Mapping[Colour, Both] = {
    Colour.GREEN: ("ACCEPTED", "通过"),
    Colour.AMBER: ("NOT YET", "请稍候"),
    Colour.RED: ("NO", "不通过"),
    Colour.GREY: ("SCAN AGAIN", "请重新扫码"),
}
SIGNS: Mapping[Colour, Sign] = {
    Colour.GREEN: Sign.TICK,
    Colour.AMBER: Sign.EXCLAMATION,
    Colour.RED: Sign.CROSS,
    Colour.GREY: Sign.QUESTION,
}
MARKS: Mapping[Sign, str] = {
    Sign.TICK: "✓",
    Sign.TICK_AND_CLOUD: "✓☁",
    Sign.EXCLAMATION: "!",
    Sign.CROSS: "✗",
    Sign.QUESTION: "?",
}

# Somebody can do something about it, here and now.
AMBER: Mapping[Why | Slip, Both] = {
    Why.STALE: ("Scan again.", "请重新扫码。"),
    Why.CLOCK_AHEAD: ("Correct the phone's clock, then scan again.", "校准手机时间后重新扫码。"),
    Why.SUPERSEDED: ("Scan again.", "请重新扫码。"),
    Why.CHALLENGE_REQUIRED: ("Then scan again.", "然后重新扫码。"),
    Why.LIVE_CODE_REQUIRED: ("Open the app, then scan again.", "打开应用后重新扫码。"),
    Why.UNCLAIMED: ("Claim it in the app, then scan again.", "在应用中领取后重新扫码。"),
    Why.HELD: ("Try again later.", "请稍后再试。"),
    Why.GIVEN: ("Take it back in the app, then scan again.", "在应用中收回后重新扫码。"),
    Why.BASKET_REQUIRED: ("Then scan again.", "然后重新扫码。"),
    Why.BASKET_CHANGED: ("Then scan again.", "然后重新扫码。"),
    Why.LINES_REQUIRED: ("Then scan again.", "然后重新扫码。"),
    Why.WRONG_CURRENCY: ("Choose the currency, then scan again.", "选择币种后重新扫码。"),
    Why.BELOW_MINIMUM: ("Not yet: the basket is too small.", "金额不足，暂不可用。"),
    Why.TOO_FEW_ITEMS: ("Not yet: the basket is too small.", "件数不足，暂不可用。"),
    Why.STACKING_ORDER: ("Then scan again.", "然后重新扫码。"),
    Why.ONLINE_REQUIRED: ("Try again when the network is back.", "网络恢复后再试。"),
    Why.QUOTA_REACHED: ("Try again when the network is back.", "网络恢复后再试。"),
    Why.LEASE_EXPIRED: ("Try again when the network is back.", "网络恢复后再试。"),
    Slip.ASK_AGAIN: ("Scan the same code again.", "请重新扫描同一券码。"),
    Slip.TOO_MANY_TRIES: ("Wait a minute.", "请等待一分钟。"),
    Slip.NOBODY_SITS: (
        "Choose your name and type your PIN, then scan again.",
        "请选择姓名并输入个人识别码，然后重新扫码。",
    ),
    Slip.WRONG_PIN: ("Type it again. Five wrong ones lock it.", "请重新输入；连错五次将锁定。"),
    Slip.LOCKED_OUT: (
        "Wait 15 minutes and try with a network, or let a colleague sign in.",
        "请15分钟后联网重试，或由同事登录。",
    ),
}
GREY: Mapping[Why | Slip, Both] = {
    Why.NOT_A_COUPON: ("Scan the coupon.", "请扫描券码。"),
    Slip.TWO_CODES: ("Scan the one.", "请只扫描一张。"),
    Slip.UNREADABLE: (
        "Hold it 20 to 25 cm away, and turn the brightness up.",
        "保持20至25厘米距离，并调亮屏幕。",
    ),
    Slip.NOT_A_PICTURE: ("Give a picture.", "请提供图片。"),
    Slip.NO_SUCH_FILE: ("Give a picture.", "请提供图片。"),
    Slip.NOT_UNDERSTOOD: ("Look at the amount and the receipt.", "请核对金额与小票号。"),
}
REFUSE: Both = ("Take nothing off.", "不予优惠。")

SLIPS: Mapping[Slip, Both] = {
    Slip.TWO_CODES: ("Two coupons at once: show one.", "同时出现两张券，请只出示一张。"),
    Slip.UNREADABLE: ("No code can be read.", "无法识别二维码。"),
    Slip.NOT_A_PICTURE: ("This is not a picture.", "这不是图片。"),
    Slip.NO_SUCH_FILE: ("There is no such file.", "没有这个文件。"),
    Slip.NOT_PAIRED: (
        "The server does not know this terminal: pair it again.",
        "服务器不认识本终端，请重新配对。",
    ),
    Slip.ASK_AGAIN: (
        "The server has not said whether it was redeemed.",
        "服务器尚未确认是否核销成功。",
    ),
    Slip.TOO_MANY_TRIES: ("Too many tries.", "尝试次数过多。"),
    Slip.NOT_UNDERSTOOD: ("This cannot be meant so.", "输入内容有误。"),
    Slip.NOBODY_SITS: ("Nobody is signed in at this terminal.", "本终端无人登录。"),
    Slip.WRONG_PIN: ("This is not the PIN.", "个人识别码不正确。"),
    Slip.LOCKED_OUT: ("Too many wrong PINs.", "个人识别码错误次数过多。"),
}
TO_CUSTOMER: Both = ("One moment, please.", "请稍候。")


def _filled(key: str, **facts: Both) -> Both:
    en, zh = YES[key]
    return (
        en.format_map({name: fact[0] for name, fact in facts.items()}),
        zh.format_map({name: fact[1] for name, fact in facts.items()}),
    )


def _no(code: Why | Slip) -> dict[str, Any]:
    colour = colour_of(code)
    return {
        "code": str(code),
        "colour": colour,
        "sign": SIGNS[colour],
        "word": _both(WORDS[colour]),
        "action": _both({**AMBER, **GREY}.get(code, REFUSE)),
    }


def _both(both: Both) -> Sentences:
    return Sentences(en=both[0], zh=both[1])
