"""What a developer reads: the documentation, the OpenAPI document, a page for each problem."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from typing import Any, cast

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from api import problems
from api.edges import page_policy
from coupon_engine.validation import wording
from schemas.refusals import Why

STATIC = "/docs/static"

# Light or dark, as the reader's screen is; the policy names this very text and allows no other.
STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: min(2rem, 7vw); overflow-wrap: anywhere; }
h2 { margin-top: 2rem; }
dt { font-weight: 600; margin-top: .75rem; }
dd { margin: 0; }
td { padding: .25rem 1rem .25rem 0; vertical-align: top; }
pre { padding: 1rem; border-radius: .5rem;
      background: color-mix(in srgb, currentColor 8%, transparent);
      white-space: pre-wrap; overflow-wrap: anywhere; }
"""

# Swagger UI is dark where its page says so; the reader's screen decides that here.
DARK = """
const dark = matchMedia("(prefers-color-scheme: dark)")
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches)
dark.addEventListener("change", follow)
follow()
"""

# Code stands in blocks alone: in a line, Swagger UI paints over the lines beside it.
INTRODUCTION = """
Every write carries an id made by whoever asks (a UUIDv7): asking again with the same id is
harmless and gets the first answer. Money is whole minor units with an ISO 4217 currency; instants
carry an offset. Every no is a problem (RFC 9457) with a code that never changes;
[all problems]({home}/problems).

Make an operator and its API key, or take the live.key of the demo. An approval takes a second key.

    counterfoil operator create SLUG NAME
    counterfoil operator new-key SLUG NAME

Then

    curl {home}/v1/merchants -H "Authorization: Bearer $KEY" \\
      -H "Content-Type: application/json" -d '{first}'

and so on: the examples below fit together, in this order: {order}. What the server makes up (a
kid, a code, a coupon's id) is taken from its answer; each place says so.
"""

LIGHT_OR_DARK = "<meta name=color-scheme content='light dark'>"
WHAT_PROBLEMS_ARE = (
    "<p>Every no of this server is a problem (RFC 9457). Decide by its <code>code</code>, which "
    "never changes; each has a page, with an example. <a href='docs'>The API</a>"
)

TAGS: list[dict[str, Any]] = [
    {"name": "Campaigns", "description": "A goal with dates and ceilings. 活动"},
    {"name": "Offers", "description": "Value and conditions, versioned, then frozen. 优惠"},
    {"name": "Batches", "description": "A counted lot of one offer version. 批次"},
    {"name": "Coupons", "description": "One serial instance, one holder. 券"},
    {"name": "Redemptions", "description": "Validate, redeem, reverse. 验券、核销、撤销核销"},
    {"name": "Holds", "description": "A redemption promised for minutes. 预占"},
    {"name": "Merchants", "description": "They accept coupons. 商家"},
    {"name": "Stores", "description": "One place of a merchant, with a time zone. 门店"},
    {"name": "Terminals", "description": "One scanning device. 终端"},
    {"name": "Without a network", "description": "What terminals judge by alone. 离线"},
    {"name": "Cashiers", "description": "The people at a store's terminals. 收银员"},
    {"name": "Customers", "description": "They hold coupons, under your names for them. 顾客"},
    {"name": "Keys", "description": "What coupons are signed with."},
    {"name": "API keys", "description": "Ways in for programs."},
    {"name": "Sandbox", "description": "A place to try things out, with a clock of its own. 沙箱"},
    {"name": "Health", "description": "Is it alive, and can it serve?"},
]


@dataclass(frozen=True)
class Group:
    """Problems that a reader meets for the same kind of reason, and what to do about them."""

    title: str
    advice: str
    statuses: tuple[int, ...] = ()


OF_COUPONS = Group(
    "A coupon does not work here and now",
    "Tell the customer and the cashier the sentences of `refusal`; its `reasons` say what would "
    "make the coupon pass. Then try anew, with a new id.",
)
BY_STATUS = (
    Group(
        "Who asks",
        "Ask as somebody who may: with another key, role or signature, or after a step-up. After "
        "a wrong code, send the next one.",
        (401, 403),
    ),
    Group(
        "Not here", "Look at the address and at the ids: this operator has no such thing.", (404,)
    ),
    Group(
        "Not now, or not in this state",
        "Look at how it stands now, `details` says what is known, and decide anew, with a new id.",
        (409,),
    ),
    Group(
        "Never, as it was asked",
        "Mend the request; `places`, `detail` or `details` say what. Then ask again.",
        (400, 405, 413, 414, 415, 422, 431),
    ),
    Group("Too often", "Wait for as many seconds as `Retry-After` says.", (429,)),
    Group(
        "Not done, or not known to be done",
        "Wait a moment, then ask again with the same id: if it was done, the answer says so.",
        (408, 500, 503),
    ),
)

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{_root(request)}/docs")


@router.get("/openapi.json")
async def document(request: Request) -> JSONResponse:
    """Return the document with the address under which this very reader found it."""
    app = cast("FastAPI", request.app)
    found = app.openapi()
    told = {**found["info"], "description": introduction(str(request.base_url).rstrip("/"))}
    return JSONResponse({**found, "info": told})


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    root = _root(request)
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Counterfoil",
        swagger_js_url=f"{root}{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{root}{STATIC}/favicon.png",
        swagger_ui_parameters={"docExpansion": "none", "persistAuthorization": False},
    )
    head, _, rest = bytes(page.body).decode().partition("<head>")
    before, _, after = rest.partition("<script>")
    script, _, end = after.partition("</script>")
    script = DARK + script
    # The one script that stands in the page's own text, by its fingerprint.
    policy = page_policy(script=f"'self' {_fingerprint(script.encode())}", trusted_types=None)
    return HTMLResponse(
        f"{head}<head>{LIGHT_OR_DARK}{before}<script>{script}</script>{end}",
        headers={"Content-Security-Policy": policy},
    )


@router.get("/problems")
async def all_problems(request: Request) -> HTMLResponse:
    return _page(request, "Problems", WHAT_PROBLEMS_ARE + "".join(_groups()))


@router.get("/problems/{code}")
async def one_problem(request: Request, code: str) -> HTMLResponse:
    if code not in _examples():
        raise HTTPException(404)
    problem = _examples()[code]["value"]
    told = "".join(
        f"<dt>{who}<dd>{escape(en)}<dd lang=zh-Hans>{escape(zh)}"
        for who, (en, zh) in _told(code).items()
    )
    example = escape(problems.as_text(problem))
    return _page(
        request,
        code,
        f"<p>{problem['status']}: {escape(problem['title'])}"
        f"<dl><dt>What to do<dd>{_marked(_group_of(code).advice)}{told}</dl>"
        f"<pre>{example}</pre><p><a href='../problems'>All problems</a>",
    )


def introduction(home: str = "http://127.0.0.1:8000") -> str:
    """Say how to begin at the server with this address."""
    first = json.dumps(REQUESTS["/v1/merchants"])
    order = ", ".join(path.removeprefix("/v1/") for path in REQUESTS)
    return INTRODUCTION.format(home=home, first=first, order=order)


def install(app: FastAPI) -> None:
    """Serve the page's parts from this machine, and give the document what FastAPI cannot know."""
    app.mount(STATIC, StaticFiles(packages=[("fastapi_offline", "static")]))
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            components = document.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            for name, schema in _problem_schemas().items():
                schemas.setdefault(name, schema)
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            components["examples"] = _examples()
            components["securitySchemes"] = {"API key": {"type": "http", "scheme": "bearer"}}
            for path, operations in document["paths"].items():
                if path.startswith("/v1/"):
                    for operation in operations.values():
                        operation["security"] = [{"API key": []}]
            _put_requests(document)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi


def _groups() -> Iterator[str]:
    for group in (OF_COUPONS, *BY_STATUS):
        rows = "".join(
            f"<tr><td><a href='problems/{code}'>{code.replace('_', '_<wbr>')}</a>"
            f"<td>{each['value']['status']}<td>{escape(each['summary'])}"
            for code, each in _examples().items()
            if _group_of(code) is group
        )
        yield f"<h2>{group.title}</h2><p>{_marked(group.advice)}<table>{rows}</table>"


def _group_of(code: str) -> Group:
    if code in [*Why]:
        return OF_COUPONS
    status = _examples()[code]["value"]["status"]
    return next(group for group in BY_STATUS if status in group.statuses)


def _marked(advice: str) -> str:
    """Return a sentence of ours with its names as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(advice))


@cache
def _examples() -> dict[str, Any]:
    return problems.examples()


def _problem_schemas() -> dict[str, Any]:
    schema = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def _told(code: str) -> Mapping[str, tuple[str, str]]:
    why = next((why for why in Why if why == code), None)
    if why is None:
        return {}
    return {
        "Customer 顾客": wording.CUSTOMER[why],
        "Cashier 收银员": wording.CASHIER[why],
        "Developer 开发者": wording.DEVELOPER[why],
    }


def _root(request: Request) -> str:
    return request.scope.get("root_path", "")


def _page(request: Request, title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<link rel=icon href='{_root(request)}{STATIC}/favicon.png'><style>{STYLE}</style>"
        f"<h1>{title}</h1>{body}",
        headers={"Content-Security-Policy": PAGE_POLICY},
    )


def _fingerprint(text: bytes) -> str:
    return f"'sha256-{b64encode(sha256(text).digest()).decode()}'"


PAGE_POLICY = page_policy(script="'none'", style=_fingerprint(STYLE.encode()))


def _put_requests(document: dict[str, Any]) -> None:
    for path, example in REQUESTS.items():
        body = document["paths"][path]["post"]["requestBody"]
        body["content"]["application/json"]["example"] = example
        if path in TAKEN:
            body["description"] = TAKEN[path]


def _id(number: int) -> str:
    return f"01963b2e-4c1a-7000-8000-{number:012}"


_KID = "8mMIYNaYsUqsLPkVBAf5ojGmyWjKh7aKfxRyDyaGYVI"
_COUPON = _id(99)
_CODE = "7K3M-9QXA-0T5C"
_CODE_IS_TAKEN = (
    "The code is what the QR code says: `text` in the answer of "
    "`GET /v1/coupons/{coupon_id}/token`. The coupon's `short_code` does as well."
)
_COUPON_IS_TAKEN = "`coupon_id` is the `id` in the answer of `POST /v1/coupons`."

# What no example can know, because the server makes it up.
TAKEN: Mapping[str, str] = {
    "/v1/key-moves": "`kid` stands in the answer of `POST /v1/keys`.",
    "/v1/approvals": "`seen` is the `fingerprint` in the answer of "
    "`GET /v1/campaigns/{campaign_id}/diff`. Whoever approves is not whoever made it.",
    "/v1/validations": _CODE_IS_TAKEN,
    "/v1/holds": _CODE_IS_TAKEN,
    "/v1/redemptions": _CODE_IS_TAKEN,
    "/v1/transfers": _COUPON_IS_TAKEN,
    "/v1/holder-keys": _COUPON_IS_TAKEN,
    "/v1/revocations": _COUPON_IS_TAKEN,
}

_BASKET: Mapping[str, Any] = {
    "currency": "EUR",
    "lines": [
        {"product": "coffee-500", "category": "coffee", "quantity": 2, "unit_price_minor": 899},
        {"product": "cake", "quantity": 1, "unit_price_minor": 652},
    ],
}
_TERMS: Mapping[str, Any] = {
    "title": {"en": "3.50 off from 20", "zh": "满20减3.50"},
    "benefit": {"kind": "amount_off", "amount_minor": 350},
    "conditions": {"minimum_basket_minor": 2_000},
    "validity": {"days_after_issue": 30},
}

# One campaign from its making to its end, in the order in which it can be asked for.
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "/v1/merchants": {"id": _id(10), "name": "Corner shop"},
    "/v1/stores": {
        "id": _id(11),
        "merchant_id": _id(10),
        "name": "Main street",
        "zone": "Europe/Berlin",
    },
    "/v1/store-changes": {
        "id": _id(39),
        "store_id": _id(11),
        "address": "Hauptstraße 1, 10827 Berlin",
        "latitude_microdegrees": 52_484_900,
        "longitude_microdegrees": 13_353_600,
    },
    "/v1/terminals": {"id": _id(12), "store_id": _id(11), "name": "Till 1"},
    "/v1/customers": {
        "id": _id(13),
        "customers": [
            {"id": _id(14), "ref": "c-2001", "segments": ["regular"]},
            {"id": _id(15), "ref": "c-2002"},
        ],
    },
    "/v1/keys": {"id": _id(16)},
    "/v1/key-moves": {"id": _id(17), "kid": _KID, "move": "use", "reason": "The first one"},
    "/v1/campaigns": {
        "id": _id(1),
        "name": "Spring",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "starts_at": "2026-01-01T00:00:00+01:00",
        "ends_at": "2099-01-01T00:00:00+01:00",
        "budget_minor": 500_000,
        "max_redemptions": 2_000,
        "max_issued": 10_000,
    },
    "/v1/offers": {"id": _id(2), "campaign_id": _id(1), "terms": _TERMS},
    "/v1/terms": {"id": _id(18), "offer_id": _id(2), "terms": {**_TERMS, "undo_seconds": 3_600}},
    "/v1/batches": {
        "id": _id(3),
        "offer_id": _id(2),
        "name": "By mail",
        "size": 10_000,
        "has_short_codes": True,
    },
    "/v1/moves": {
        "id": _id(4),
        "campaign_id": _id(1),
        "move": "submit",
        "reason": "Ready to be looked at",
    },
    "/v1/approvals": {
        "id": _id(26),
        "campaign_id": _id(1),
        "seen": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        "reason": "Budget agreed with the merchant",
    },
    "/v1/coupons": {"id": _id(5), "batch_id": _id(3), "customer_id": _id(14)},
    "/v1/issues": {"id": _id(6), "batch_id": _id(3), "unclaimed": 100},
    "/v1/claims": {"id": _id(19), "batch_id": _id(3), "customer_id": _id(15)},
    "/v1/validations": {
        "codes": [_CODE],
        "store_id": _id(11),
        "basket": {"currency": "EUR", "total_minor": 2_450},
    },
    "/v1/holds": {
        "id": _id(20),
        "code": _CODE,
        "store_id": _id(11),
        "basket": _BASKET,
        "lasts_seconds": 300,
    },
    "/v1/releases": {"id": _id(21), "hold_id": _id(20)},
    "/v1/redemptions": {
        "id": _id(7),
        "code": _CODE,
        "store_id": _id(11),
        "terminal_id": _id(12),
        "cashier": "Kim",
        "order_ref": "R-2026-0001",
        "basket": _BASKET,
    },
    "/v1/reversals": {
        "id": _id(8),
        "redemption_id": _id(7),
        "reason": "Customer changed their mind",
    },
    "/v1/transfers": {
        "id": _id(22),
        "coupon_id": _COUPON,
        "from_customer_id": _id(14),
        "to_customer_id": _id(15),
    },
    "/v1/holder-keys": {
        "id": _id(23),
        "coupon_id": _COUPON,
        "customer_id": _id(15),
        "holder_key": {
            "kty": "EC",
            "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        },
    },
    "/v1/revocations": {"id": _id(24), "coupon_id": _COUPON, "reason": "The phone was stolen"},
    "/v1/ceilings": {
        "id": _id(9),
        "campaign_id": _id(1),
        "ceiling": "budget_minor",
        "current": 500_000,
        "target": 600_000,
        "reason": "More of the same",
    },
    "/v1/batch-moves": {
        "id": _id(25),
        "batch_id": _id(3),
        "move": "pause",
        "reason": "A look at the figures first",
    },
}
