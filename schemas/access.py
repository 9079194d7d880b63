"""Who may ask: roles of people and devices, scopes of programs, and the name on every act."""

from enum import StrEnum

from schemas.base import Wire


class Role(StrEnum):
    """What somebody is to an operator. What each role may do stands in `api/asking/access.py`."""

    PLATFORM_ADMIN = "platform_admin"
    OWNER = "owner"
    CAMPAIGN_EDITOR = "campaign_editor"
    APPROVER = "approver"
    FINANCE = "finance"
    SUPPORT = "support"
    AUDITOR = "auditor"
    SHOP_MANAGER = "shop_manager"
    CASHIER = "cashier"
    TERMINAL = "terminal"
    CUSTOMER = "customer"
    INTEGRATOR = "integrator"


PEOPLE = (
    Role.OWNER,
    Role.CAMPAIGN_EDITOR,
    Role.APPROVER,
    Role.FINANCE,
    Role.SUPPORT,
    Role.AUDITOR,
    Role.SHOP_MANAGER,
    Role.CASHIER,
)
"""The roles that an operator gives to its people."""

AT_A_STORE = (Role.SHOP_MANAGER, Role.CASHIER)
"""The roles that are tied to stores: they see no other."""


class Scope(StrEnum):
    """What an API key opens. One key may have several."""

    READ = "read"
    ISSUE = "issue"
    REDEEM = "redeem"
    CAMPAIGNS = "campaigns"
    CUSTOMERS = "customers"
    CATALOGUE = "catalogue"  # merchants, stores, terminals
    KEYS = "keys"


class ActorKind(StrEnum):
    PERSON = "person"
    API_KEY = "api_key"
    TERMINAL = "terminal"
    CUSTOMER = "customer"
    COMMAND = "command"  # somebody at the server's own terminal
    SYSTEM = "system"  # the platform itself: a breaker, a job


class Actor(Wire):
    """Who acts, as the record tells it: never an address or a number of a customer."""

    kind: ActorKind
    id: str
    name: str
    role: Role | None = None
    cashier: str | None = None  # the person at a terminal
    address: str | None = None  # where the request came from
    acts_for: str | None = None  # a platform admin's reason for looking, see break-glass
