"""Who asks: a person with a cookie, a program with a key, a device with a signature.

The operator comes from the credential and from nowhere else. Unknown, wrong, ended and revoked
credentials are answered alike.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from fastapi import Request

from api.asking.access import Row
from coupon_engine.acting import Acting
from coupon_engine.errors import NotAllowed, NotSignedIn, StepUpNeeded, Unknown
from schemas.access import Actor, Role, Scope
from schemas.redemptions import AtCounter

Counter = TypeVar("Counter", bound=AtCounter)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody we know, and all that the credential says about them."""

    operator_id: UUID
    role: Role
    actor: Actor
    id: str
    scopes: frozenset[Scope] = frozenset()
    customer_id: UUID | None = None
    store_ids: frozenset[UUID] | None = None  # None: not tied to stores
    terminal_id: UUID | None = None
    clock_ahead: timedelta = timedelta()  # of a sandbox
    sign_in: bytes | None = None  # the hash of the cookie's secret
    is_half: bool = False  # the second factor is still to be set up
    stepped_up_until: datetime | None = None

    @property
    def acting(self) -> Acting:
        return Acting(self.operator_id, self.actor)

    def check(self, row: Row | None, *, now: datetime) -> None:
        """Pass, or say why not. What exists is not looked at yet, so nothing is told about it.

        Raises:
            NotAllowed: The role, or the key's scopes, do not open this.
            StepUpNeeded: They would, once it is certain who sits there.
        """
        if row is None:
            raise NotAllowed
        if self.role is Role.INTEGRATOR:
            if row.scope is None:
                raise NotAllowed
            if row.scope not in self.scopes:
                raise NotAllowed(scope=row.scope)
            return
        if self.role not in row.roles or (self.is_half and not row.is_half_open):
            raise NotAllowed
        if row.step_up and not (self.stepped_up_until and now < self.stepped_up_until):
            raise StepUpNeeded

    def see_store(self, store_id: UUID) -> None:
        """Let pass whoever may see this store.

        Raises:
            Unknown: It is not theirs; whether it exists is not told.
        """
        if self.store_ids is not None and store_id not in self.store_ids:
            raise Unknown("store", store_id)

    def at_counter(self, request: Counter) -> Counter:
        """Return the request with what the credential says of its counter.

        A terminal's store, its own id and its cashier, and a person's name, come from here. A
        program may tell them: it speaks for a till that we do not know.

        Raises:
            Unknown: Another store or terminal was named.
            NotAllowed: Another cashier was named.
        """
        self.see_store(request.store_id)
        if self.role is Role.INTEGRATOR:
            return request
        if request.terminal_id not in (None, self.terminal_id):
            raise Unknown("terminal", request.terminal_id)
        own = self.actor.cashier if self.terminal_id else self.actor.name
        if request.cashier not in (None, own):
            raise NotAllowed
        return request.model_copy(update={"terminal_id": self.terminal_id, "cashier": own})

    def from_address(self, address: str | None) -> "Caller":
        """Let the record tell from where this came; of a customer never: it cannot forget."""
        if self.role is Role.CUSTOMER:
            return self
        return replace(self, actor=self.actor.model_copy(update={"address": address}))


def bearer_of(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" and key else None


def must(caller: Caller | None) -> Caller:
    if caller is None:
        raise NotSignedIn
    return caller
