"""What stands in the code that a customer shows.

How it is written and read: `coupon_engine/validation/token.py`.
"""

from typing import Annotated, Self

from pydantic import Field, field_validator

from schemas.base import Wire
from schemas.campaigns import Level, OfflinePolicy

# The place in the row is what stands in the code, so rows only ever grow at the end.
_LEVELS = (Level.STATIC, Level.ROTATING, Level.HOLDER_SIGNED, Level.CHALLENGED)
_OFFLINE = (
    OfflinePolicy.ONLINE_ONLY,
    OfflinePolicy.STORE_BOUND,
    OfflinePolicy.DEVICE_QUOTA,
    OfflinePolicy.CAMPAIGN_ESCROW,
)
FRESHNESS_SECONDS = (15, 30, 60, 120, 300)

_LAST_SECOND = 253_402_300_799  # 9999-12-31, the last a datetime can hold

Number = Annotated[int, Field(strict=True, ge=0, lt=2**40)]
Second = Annotated[int, Field(strict=True, ge=0, le=_LAST_SECOND)]
"""Whole seconds since 1970, UTC."""


class Policy(Wire):
    """What a terminal must know of the campaign even with an old bundle: 14 of 16 bits.

    Bits 0-1 level, 2-3 offline policy, 4-7 quota class, 8-10 freshness, 11 paper allowed,
    12 activation required, 13 multi-use, 14-15 zero.
    """

    level: Level = Level.STATIC
    offline: OfflinePolicy = OfflinePolicy.ONLINE_ONLY
    quota_class: Annotated[int, Field(strict=True, ge=0, le=15)] = 0
    freshness_seconds: Annotated[int, Field(strict=True)] = 60
    paper_allowed: Annotated[bool, Field(strict=True)] = False
    activation_required: Annotated[bool, Field(strict=True)] = False
    multi_use: Annotated[bool, Field(strict=True)] = False

    @field_validator("level")
    @classmethod
    def _is_a_code_to_scan(cls, level: Level) -> Level:
        if level not in _LEVELS:
            raise ValueError("a short code carries no policy")
        return level

    @field_validator("freshness_seconds")
    @classmethod
    def _has_a_class(cls, seconds: int) -> int:
        if seconds not in FRESHNESS_SECONDS:
            raise ValueError("must be 15, 30, 60, 120 or 300")
        return seconds

    @property
    def needs_holder(self) -> bool:
        return self.level in (Level.HOLDER_SIGNED, Level.CHALLENGED)

    @field_validator("offline")
    @classmethod
    def _has_a_place(cls, offline: OfflinePolicy) -> OfflinePolicy:
        if offline not in _OFFLINE:
            raise ValueError("activated is store_bound with activation_required")
        return offline

    def pack(self) -> int:
        return (
            _LEVELS.index(self.level)
            | _OFFLINE.index(self.offline) << 2
            | self.quota_class << 4
            | FRESHNESS_SECONDS.index(self.freshness_seconds) << 8
            | self.paper_allowed << 11
            | self.activation_required << 12
            | self.multi_use << 13
        )

    @classmethod
    def unpack(cls, off: int) -> Self:
        """Return the policy in these bits.

        Raises:
            ValueError: Bits are set that mean nothing yet.
        """
        freshness = off >> 8 & 0b111
        if not 0 <= off < 2**14 or freshness >= len(FRESHNESS_SECONDS):
            raise ValueError("unknown policy bits")
        return cls(
            level=_LEVELS[off & 0b11],
            offline=_OFFLINE[off >> 2 & 0b11],
            quota_class=off >> 4 & 0b1111,
            freshness_seconds=FRESHNESS_SECONDS[freshness],
            paper_allowed=bool(off >> 11 & 1),
            activation_required=bool(off >> 12 & 1),
            multi_use=bool(off >> 13 & 1),
        )


class CouponFields(Wire):
    """A coupon as its issuer signs it, by the names of its claims. None of them names a person."""

    jti: Annotated[bytes, Field(strict=True, min_length=16, max_length=16)]
    cmp: Number  # the campaign's number
    nbf: Second
    exp: Second
    off: Annotated[int, Field(strict=True)]  # `Policy`, packed
    sto: Number  # store or group of stores; 0 is any
    idx: Number  # place in the campaign's status list
    holder_key: Annotated[bytes, Field(strict=True, min_length=33, max_length=33)] | None = None

    @field_validator("off")
    @classmethod
    def _is_a_policy(cls, off: int) -> int:
        Policy.unpack(off)
        return off

    @property
    def policy(self) -> Policy:
        return Policy.unpack(self.off)

    @property
    def audience(self) -> str:
        """To whom a phone addresses its proof."""
        return f"s:{self.sto}" if self.sto else ANYWHERE


ANYWHERE = "cpn:any"
