"""Who may do what: one row for each endpoint. What has no row is refused.

People and devices pass by their role, programs by a scope of their key. A merchant's people are
tied to stores besides; that is judged where the store is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.access import PEOPLE, Role, Scope

R = Role


@dataclass(frozen=True, slots=True)
class Row:
    """Who may use an endpoint.

    `step_up`: a person must have confirmed who they are within the last minutes.
    `is_half_open`: also for somebody whose second factor is still to be set up.
    `is_open`: nobody need be signed in; the verb itself checks what it is shown.
    """

    roles: frozenset[Role]
    scope: Scope | None = None
    step_up: bool = False
    is_half_open: bool = False
    is_open: bool = False


def _may(
    *roles: Role, scope: Scope | None = None, step_up: bool = False, is_half_open: bool = False
) -> Row:
    return Row(frozenset(roles), scope, step_up, is_half_open)


OPEN = Row(frozenset(), is_open=True)
ANYBODY_SIGNED_IN = _may(*PEOPLE, R.PLATFORM_ADMIN, is_half_open=True)

_EDITORS = (R.OWNER, R.CAMPAIGN_EDITOR)
_COUNTER = (R.TERMINAL, R.CASHIER, R.SHOP_MANAGER)
_OFFICE = (R.OWNER, R.CAMPAIGN_EDITOR, R.APPROVER, R.FINANCE, R.SUPPORT, R.AUDITOR)

ROWS: Mapping[str, Row] = {
    # At the counter
    "POST /redemptions": _may(*_COUNTER, scope=Scope.REDEEM),
    "POST /validations": _may(*_COUNTER, R.SUPPORT, scope=Scope.REDEEM),
    "POST /holds": _may(*_COUNTER, scope=Scope.REDEEM),
    "POST /releases": _may(*_COUNTER, scope=Scope.REDEEM),
    "POST /reversals": _may(*_COUNTER, R.SUPPORT, R.OWNER, scope=Scope.REDEEM),
    "GET /redemptions/{redemption_id}": _may(*_COUNTER, *_OFFICE, scope=Scope.READ),
    # Coupons
    "POST /coupons": _may(*_EDITORS, R.SUPPORT, scope=Scope.ISSUE),
    "POST /issues": _may(*_EDITORS, scope=Scope.ISSUE),
    "POST /claims": _may(scope=Scope.ISSUE),
    "POST /revocations": _may(*_EDITORS, R.SUPPORT, scope=Scope.ISSUE),
    "POST /transfers": _may(scope=Scope.ISSUE),
    "POST /holder-keys": _may(scope=Scope.ISSUE),
    "POST /activations": _may(scope=Scope.ISSUE),
    "GET /coupons": _may(*_OFFICE, scope=Scope.READ),
    "GET /coupons.csv": _may(*_OFFICE, scope=Scope.READ),
    "GET /coupons.xlsx": _may(*_OFFICE, scope=Scope.READ),
    "GET /coupons/{coupon_id}": _may(*_OFFICE, scope=Scope.READ),
    "GET /coupons/{coupon_id}/story": _may(*_OFFICE, scope=Scope.READ),
    # Whoever has these can spend the coupon.
    "GET /coupons/{coupon_id}/token": _may(*_EDITORS, R.SUPPORT, scope=Scope.ISSUE),
    "GET /coupons/{coupon_id}/qr.png": _may(*_EDITORS, R.SUPPORT, scope=Scope.ISSUE),
    "GET /coupons/{coupon_id}/qr.svg": _may(*_EDITORS, R.SUPPORT, scope=Scope.ISSUE),
    "GET /batches/{batch_id}/sheet.pdf": _may(*_EDITORS, scope=Scope.ISSUE, step_up=True),
    # Campaigns
    "POST /campaigns": _may(*_EDITORS, scope=Scope.CAMPAIGNS),
    "GET /campaigns": _may(*_OFFICE, R.SHOP_MANAGER, scope=Scope.READ),
    "GET /campaigns/{campaign_id}": _may(*_OFFICE, R.SHOP_MANAGER, scope=Scope.READ),
    "POST /moves": _may(*_EDITORS, R.APPROVER, scope=Scope.CAMPAIGNS),
    # Which of them may say yes to what, the engine decides: nobody to a large change of their own.
    "POST /approvals": _may(
        R.OWNER, R.APPROVER, R.CAMPAIGN_EDITOR, scope=Scope.CAMPAIGNS, step_up=True
    ),
    "GET /campaigns/{campaign_id}/diff": _may(*_OFFICE, scope=Scope.READ),
    "GET /pauses": _may(*_COUNTER, *_OFFICE, scope=Scope.READ),
    "POST /ceilings": _may(*_EDITORS, scope=Scope.CAMPAIGNS),
    "POST /offers": _may(*_EDITORS, scope=Scope.CAMPAIGNS),
    "GET /offers": _may(*_OFFICE, R.SHOP_MANAGER, scope=Scope.READ),
    "POST /terms": _may(*_EDITORS, scope=Scope.CAMPAIGNS),
    "POST /previews": _may(*_EDITORS, R.APPROVER, scope=Scope.CAMPAIGNS),
    "POST /trials": _may(*_EDITORS, R.APPROVER, scope=Scope.CAMPAIGNS),
    "POST /batches": _may(*_EDITORS, scope=Scope.CAMPAIGNS),
    "GET /batches": _may(*_OFFICE, scope=Scope.READ),
    "GET /batches/{batch_id}": _may(*_OFFICE, scope=Scope.READ),
    "POST /batch-moves": _may(*_EDITORS, scope=Scope.CAMPAIGNS),
    # A shop manager sees what happened in their own stores.
    "GET /campaigns/{campaign_id}/figures": _may(*_OFFICE, R.SHOP_MANAGER, scope=Scope.READ),
    "GET /report": _may(
        R.OWNER, R.CAMPAIGN_EDITOR, R.APPROVER, R.FINANCE, R.AUDITOR, scope=Scope.READ
    ),
    "GET /disputes": _may(R.OWNER, R.APPROVER, R.FINANCE, R.SUPPORT, R.AUDITOR, scope=Scope.READ),
    # A person looks before a phone's coupons work again: no program lifts a suspension.
    "GET /disputed-holders": _may(R.OWNER, R.SUPPORT, R.AUDITOR, scope=Scope.READ),
    "POST /holder-lifts": _may(R.OWNER, R.SUPPORT),
    # Merchants, stores, terminals, customers
    "POST /merchants": _may(R.OWNER, scope=Scope.CATALOGUE),
    "GET /merchants": _may(*_OFFICE, scope=Scope.READ),
    "POST /stores": _may(R.OWNER, scope=Scope.CATALOGUE),
    "POST /store-changes": _may(R.OWNER, scope=Scope.CATALOGUE),
    "GET /stores": _may(*_OFFICE, R.SHOP_MANAGER, R.CASHIER, scope=Scope.READ),
    "POST /terminals": _may(R.OWNER, R.SHOP_MANAGER, scope=Scope.CATALOGUE),
    "GET /terminals": _may(*_OFFICE, R.SHOP_MANAGER, scope=Scope.READ),
    "POST /terminal-revocations": _may(R.OWNER, R.SHOP_MANAGER, scope=Scope.CATALOGUE),
    "POST /pairings": _may(R.OWNER, R.SHOP_MANAGER),
    "GET /pairings/{pairing_id}": _may(R.OWNER, R.SHOP_MANAGER),
    "POST /pairing-answers": OPEN,
    "POST /pairing-confirmations": _may(R.OWNER, R.SHOP_MANAGER),
    "POST /pairing-refusals": _may(R.OWNER, R.SHOP_MANAGER),
    # For the terminal that asks, and under its own lease
    "POST /leases": _may(R.TERMINAL),
    "GET /bundle": _may(R.TERMINAL),
    "GET /status-lists/{cmp}/{shard}": _may(R.TERMINAL),
    # A revoked terminal's journal is brought by the people of its store.
    "POST /journals": _may(R.TERMINAL, R.OWNER, R.SHOP_MANAGER),
    "GET /journals/acknowledgement": _may(R.TERMINAL),
    "POST /cashiers": _may(R.OWNER, R.SHOP_MANAGER),
    "POST /cashier-changes": _may(R.OWNER, R.SHOP_MANAGER),
    "GET /cashiers": _may(R.OWNER, R.SHOP_MANAGER, R.AUDITOR, R.TERMINAL),
    "POST /shifts": _may(R.TERMINAL),
    "POST /shift-ends": _may(R.TERMINAL),
    "POST /customers": _may(R.OWNER, scope=Scope.CUSTOMERS),
    "GET /customers": _may(R.OWNER, R.SUPPORT, R.AUDITOR, scope=Scope.CUSTOMERS),
    # Besides, whoever brings a list in must be one who may send its lines.
    "POST /import-readings": _may(*_EDITORS),
    "POST /imports": _may(*_EDITORS),
    "GET /imports": _may(*_EDITORS),
    "GET /imports/{import_id}": _may(*_EDITORS),
    "GET /imports/{import_id}/progress": _may(*_EDITORS),
    "GET /imports/{import_id}/errors.csv": _may(*_EDITORS),
    # Personal data. In clear it stands in the export alone.
    "POST /contacts": _may(R.OWNER, scope=Scope.CUSTOMERS),
    "GET /customers/{customer_id}/contacts": _may(R.OWNER, R.SUPPORT),
    "GET /customers/{customer_id}/export": _may(R.OWNER, step_up=True),
    "POST /erasures": _may(R.OWNER, step_up=True),
    # A customer's phone: whose coupons are meant, its signature says
    "POST /wallets": OPEN,
    "GET /wallet": _may(R.CUSTOMER),
    "GET /wallet/batches/{batch_id}": _may(R.CUSTOMER),
    "GET /wallet/receipts": _may(R.CUSTOMER),
    "GET /wallet/stores": _may(R.CUSTOMER),
    "POST /wallet/claims": _may(R.CUSTOMER),
    "POST /wallet/rebinds": _may(R.CUSTOMER),
    "POST /wallet/activations": _may(R.CUSTOMER),
    "POST /wallet/gifts": _may(R.CUSTOMER),
    "POST /wallet/gift-acceptances": _may(R.CUSTOMER),
    "POST /wallet/gift-withdrawals": _may(R.CUSTOMER),
    "GET /wallet/coupons/{coupon_id}/token": _may(R.CUSTOMER),
    "POST /wallet/unbindings": _may(R.CUSTOMER),
    "GET /wallet/coupons/{coupon_id}/pass.pkpass": _may(R.CUSTOMER),
    "GET /wallet/coupons/{coupon_id}/google-pass": _may(R.CUSTOMER),
    "POST /passcodes": _may(R.CUSTOMER),
    "POST /passcode-answers": _may(R.CUSTOMER),
    "GET /wallet/export": _may(R.CUSTOMER),
    "POST /wallet/erasures": _may(R.CUSTOMER),
    # One's own passkeys. The verbs ask for a step-up where there is something to confirm by.
    "GET /passkeys": ANYBODY_SIGNED_IN,
    "POST /passkeys/options": ANYBODY_SIGNED_IN,
    "POST /passkeys": ANYBODY_SIGNED_IN,
    "POST /passkey-removals": ANYBODY_SIGNED_IN,
    "POST /sign-ins/passkey-options": OPEN,
    "POST /sign-ins/passkey": OPEN,
    "POST /step-ups/passkey-options": ANYBODY_SIGNED_IN,
    "POST /step-ups/passkey": ANYBODY_SIGNED_IN,
    # Where the operator's people sign in
    "GET /oidc-settings": _may(R.OWNER, R.AUDITOR),
    "POST /oidc-settings": _may(R.OWNER, step_up=True),
    # Keys that sign coupons
    "POST /keys": _may(R.OWNER, scope=Scope.KEYS, step_up=True),
    "GET /keys": _may(R.OWNER, R.AUDITOR, scope=Scope.KEYS),
    "POST /key-moves": _may(R.OWNER, scope=Scope.KEYS, step_up=True),
    # Programs
    "POST /api-keys": _may(R.OWNER, step_up=True),
    "GET /api-keys": _may(R.OWNER, R.AUDITOR),
    "POST /api-key-revocations": _may(R.OWNER, step_up=True),
    "POST /sandboxes": _may(R.OWNER, step_up=True),
    "POST /clock-settings": _may(scope=Scope.CAMPAIGNS),
    # Signing in, and one's own sign-ins
    "POST /sign-ins": OPEN,
    "POST /sign-ins/second-factor": OPEN,
    "GET /sign-ins": ANYBODY_SIGNED_IN,
    "POST /sign-outs": ANYBODY_SIGNED_IN,
    "POST /step-ups": ANYBODY_SIGNED_IN,
    "POST /totp-secrets": ANYBODY_SIGNED_IN,
    "POST /totp-confirmations": ANYBODY_SIGNED_IN,
    "POST /recovery-codes": ANYBODY_SIGNED_IN,
    "GET /me": ANYBODY_SIGNED_IN,
    # The operator's people
    "GET /accounts": _may(R.OWNER, R.AUDITOR),
    "POST /account-changes": _may(R.OWNER, step_up=True),
    "POST /invitations": _may(R.OWNER, step_up=True),
    "GET /invitations": _may(R.OWNER, R.AUDITOR),
    "POST /invitations/acceptances": OPEN,
    "POST /invitation-withdrawals": _may(R.OWNER),
    # What happened
    "GET /audit": _may(R.OWNER, R.AUDITOR, R.FINANCE, scope=Scope.READ),
    # The platform
    "GET /operators": _may(R.PLATFORM_ADMIN),
    "POST /operators": _may(R.PLATFORM_ADMIN, step_up=True),
    "POST /break-glass": _may(R.PLATFORM_ADMIN, step_up=True),
}


def row_of(method: str, path: str) -> Row | None:
    """Return the row of an endpoint, by its path as the router has it, without `/v1`."""
    return ROWS.get(f"{method} {path}")
