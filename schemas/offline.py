"""What a terminal needs to judge alone: its lease, the signed bundle, the status lists.

Signed documents are JWTs (`bundle+jwt`, `statuslist+jwt`, `ack+jwt`); what stands here are
their claims. Instants inside them are whole seconds since 1970, as in any JWT.
"""

import re
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from schemas.base import Ask, Count, Minor, Moment, Wire
from schemas.campaigns import OfflinePolicy
from schemas.coupons import HolderKey
from schemas.offers import Terms
from schemas.token import Number, Second

Millis = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
"""Milliseconds since 1970, UTC."""

LONGEST_LEASE_SECONDS = 24 * 3_600
LATEST_UPLOAD_SECONDS = 7 * 24 * 3_600  # after a lease ends, what it did must have come in by then
ONLINE_CLASS = 15  # the quota class of coupons whose offer no terminal is told


_INSIDE = tuple(
    map(
        ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"),
    )
)


def _inside_a_store(value: str) -> str:
    """Refuse what is not plainly a port of a machine in a shop's own network.

    Numbers only: a name could come to mean another machine, outside or of a cloud's own.
    """
    found = re.fullmatch(r"http://(\[[0-9a-f:]{2,39}\]|[0-9.]{7,15}):([1-9][0-9]{0,4})", value)
    try:
        address = ip_address(found[1].strip("[]")) if found else None
    except ValueError:
        address = None
    if (
        found is None
        or address is None
        or int(found[2]) > LAST_PORT
        or not any(address in each for each in _INSIDE if each.version == address.version)
    ):
        raise ValueError("must be http, a private address and a port: http://192.168.1.10:8790")
    return value


LAST_PORT = 65_535
HubUrl = Annotated[str, AfterValidator(_inside_a_store)]
"""Where the hub of a store listens, inside it."""


class NewLease(Ask):
    """Let the terminal that asks work without the server for a while."""

    wants_authority: bool = Field(
        default=False,
        strict=True,
        description="Be the one that decides for its store while the server cannot be reached.",
    )
    hub_url: HubUrl | None = Field(
        default=None, description="Where the store's other terminals reach the one that decides."
    )
    lasts_seconds: Annotated[int, Field(strict=True, ge=60, le=LONGEST_LEASE_SECONDS)] = (
        LONGEST_LEASE_SECONDS
    )


class AllowanceView(Wire):
    """What a lease may give away of one campaign. It is out of the budget already."""

    campaign_id: UUID
    max_count: Count
    max_minor: Minor


class LeaseView(Wire):
    id: UUID
    terminal_id: UUID
    store_id: UUID
    number: Count = Field(description="Rises with every lease of this terminal.")
    is_authority: bool
    starts_at: Moment
    ends_at: Moment
    allowances: tuple[AllowanceView, ...]


class BundleKey(Wire):
    """One of the operator's issuer keys, by its letter."""

    letter: Annotated[str, Field(pattern=r"^[A-Z]$")]
    kid: str
    jwk: HolderKey  # the public point; every key here is P-256
    nbf: Second
    exp: Second | None


class BundleOffer(Wire):
    """What coupons of one quota class are worth, and when they work."""

    quota_class: Annotated[int, Field(strict=True, ge=0, lt=ONLINE_CLASS)]
    id: UUID
    terms: Terms


class BundleCampaign(Wire):
    """One campaign that a terminal may judge alone, or must know to be stopped."""

    number: Number
    id: UUID
    currency: str
    zone: str
    offline: OfflinePolicy
    is_live: bool
    is_paused: bool
    has_ended_for_good: bool
    offers: tuple[BundleOffer, ...] = Field(
        description="Those that can be judged without the record; of the others only the server."
    )
    max_count: Count
    max_minor: Minor


class BundleTerminal(Wire):
    """Another terminal of the store: it may ask the one that decides for the store."""

    id: UUID
    name: str
    public_key: HolderKey


class ListNamed(Wire):
    """A status list that goes with the bundle, and how new it is."""

    cmp: Number
    shard: Annotated[int, Field(strict=True, ge=0)]
    ver: Millis


class Bundle(Wire):
    """All that a terminal knows when it is alone: claims of a `bundle+jwt`.

    `ver` rises with every bundle that a terminal gets; an older one is refused. It ends with the
    lease at the latest. `iat` is the server's time.
    """

    ver: Number
    iat: Second
    exp: Second
    iss: str = Field(description="As in the coupons of this operator.")
    terminal_id: UUID
    store_id: UUID
    store_number: Number
    store_zone: str
    lease_id: UUID
    lease_number: Count
    lease_until: Second
    is_authority: bool
    hub_id: UUID | None = Field(description="The terminal that decides for the store, if any.")
    hub_url: HubUrl | None = Field(default=None, description="Where it listens, if it has said so.")
    keys: tuple[BundleKey, ...]
    campaigns: tuple[BundleCampaign, ...]
    lists: tuple[ListNamed, ...]
    terminals: tuple[BundleTerminal, ...]


class Changed(Wire):
    """Places of a status list that were touched, as gaps between sorted places.

    How they are written: `validation/status_lists.py`.
    """

    set: str
    cleared: str


class StatusListClaims(Wire):
    """Claims of a `statuslist+jwt`: a whole shard, or what changed since a version.

    Source: Token Status List, draft-ietf-oauth-status-list; `since` and `changed` are ours.
    """

    sub: str
    iat: Second
    exp: Second
    ttl: Annotated[int, Field(strict=True, ge=1)]
    ver: Millis
    shard: Annotated[int, Field(strict=True, ge=0)]
    status_list: dict[str, int | str] | None = Field(
        default=None, description="bits and lst, as in the draft."
    )
    since: Millis | None = None
    changed: Changed | None = None


class Liable(StrEnum):
    """Who bears a redemption that a second one disputes."""

    CAMPAIGN = "campaign"
    MERCHANT = "merchant"
