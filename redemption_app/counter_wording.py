"""Writes what the counter app says, from where the server has it: `poe counter-wording`."""

import json
from typing import Any

from babel.numbers import get_currency_precision, list_currencies

from coupon_engine.validation import wording
from redemption_app.build import HERE
from scanner.terminal import checking, showing

WORDING = HERE / "shared" / "counter" / "wording.json"
PLACES = HERE / "shared" / "places.json"
USUAL_PLACES = 2


def write() -> None:
    """Write both files anew."""
    WORDING.write_text(wording_text(), encoding="utf-8")
    PLACES.write_text(places_text(), encoding="utf-8")


def wording_text() -> str:
    """Return every sentence that a counter may say to a cashier or a customer."""
    said: dict[str, Any] = {
        "customer": wording.CUSTOMER,
        "cashier": wording.CASHIER,
        "customer_exact": wording.CUSTOMER_EXACT,
        "cashier_exact": wording.CASHIER_EXACT,
        "near": [wording.NEAR[days] for days in (-1, 0, 1)],
        "words": showing.WORDS,
        "signs": showing.SIGNS,
        "amber": showing.AMBER,
        "grey": showing.GREY,
        "refuse": showing.REFUSE,
        "slips": showing.SLIPS,
        "to_customer": showing.TO_CUSTOMER,
        "yes": showing.YES,
        "flaws": checking.FLAWS,
        "finding": checking.FINDING,
        "more": checking.MORE,
    }
    return json.dumps(said, ensure_ascii=False, indent=1) + "\n"


def places_text() -> str:
    """Return how many decimal places amounts have, where it is not two.

    Browsers differ: one takes the ISO's word, another the CLDR's for cash.
    """
    every = {currency: get_currency_precision(currency) for currency in sorted(list_currencies())}
    odd = {currency: places for currency, places in every.items() if places != USUAL_PLACES}
    return json.dumps(odd, indent=1) + "\n"
