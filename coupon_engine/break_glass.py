"""The platform's own people: they make operators, and see nothing inside one unless they say why.

The platform is an operator without campaigns, whose people are platform admins. One who has to
look into another operator breaks the glass: a sign-in there that may read what an auditor may, for
minutes, under the admin's name and with the reason on every act. Both sides hear of it.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import acting, events, operators
from coupon_engine.errors import MoveNotAllowed
from coupon_engine.people import accounts, invitations, sign_ins
from coupon_engine.people.secret import hash_of, new_secret
from coupon_engine.people.sign_ins import Opened
from coupon_engine.tables import Account, Event, Operator, SignIn
from schemas.access import Actor, Role
from schemas.base import Json
from schemas.campaigns import NewOperator
from schemas.ids import new_id
from schemas.people import InvitationOpened
from schemas.platform import (
    BreakGlassView,
    NewBreakGlass,
    NewOperatorAndOwner,
    OperatorLine,
    OperatorMade,
)

SLUG = "platform"


def create_platform(session: Session, *, email: str, name: str, now: datetime) -> InvitationOpened:
    """Invite a platform admin, making the platform itself the first time. From the command line.

    Whoever can run that command has the database anyway.
    """
    there = session.exec(select(Operator).where(Operator.slug == SLUG)).one_or_none()
    if there is None:
        id = new_id(now)
        request = NewOperator(id=id, slug=SLUG, name="The platform")
        operators.create_operator(session, request, now=now)
        there = session.get_one(Operator, id)
        there.is_platform = True
        session.add(there)
        session.flush()
    acting.enter(session, there.id)
    return invitations.open_invitation(
        session,
        there.id,
        id=new_id(now),
        email=email,
        name=name,
        role=Role.PLATFORM_ADMIN,
        now=now,
    )


def create_operator(
    session: Session, request: NewOperatorAndOwner, *, now: datetime
) -> OperatorMade:
    """Make an operator and invite its first owner; the platform keeps no way in.

    Asking again makes nothing twice; until the invitation is accepted it shows a new one.

    Raises:
        NameTaken: Another operator has this slug, or this id under another slug.
        MoveNotAllowed: Somebody works there already, or it was not made from here; the platform
            lets nobody in any more.
    """
    home, admin = _home(session), acting.actor_of(session)
    _refuse_not_ours(session, home, request)
    made = operators.create_operator(
        session, NewOperator(id=request.id, slug=request.slug, name=request.name), now=now
    )
    if session.exec(select(Account.id).where(Account.operator_id == made.id).limit(1)).first():
        raise MoveNotAllowed(state="owned", move="create", allowed=[])
    invitation = accounts.create_first_owner(
        session, made.id, email=request.owner_email, name=request.owner_name, now=now
    )
    acting.enter(session, home, admin)
    events.note(
        session,
        events.happened(
            "operator_created",
            made.id,
            operator_id=home,
            campaign_id=None,
            at=now,
            data={"slug": made.slug},
        ),
    )
    return OperatorMade(operator_id=made.id, slug=made.slug, invitation=invitation)


def operator_lines(session: Session, *, after: UUID | None, most: int) -> list[OperatorLine]:
    query = select(Operator).where(col(Operator.is_platform).is_(False))
    if after:
        query = query.where(col(Operator.id) > after)
    rows = session.exec(query.order_by(col(Operator.id)).limit(most)).all()
    return [OperatorLine.model_validate(row, from_attributes=True) for row in rows]


def break_glass(
    session: Session, own: bytes, request: NewBreakGlass, *, now: datetime
) -> tuple[BreakGlassView, Opened]:
    """Sign a platform admin in at another operator, to read, for minutes.

    No answer is kept, for it holds the cookie's secret: asking twice opens, and tells, twice.

    Raises:
        NotSignedIn: The admin's own sign-in has ended.
        Unknown: No such operator.
        MoveNotAllowed: The platform itself has nothing to look into.
    """
    admin = sign_ins.current(session, own, now=now)
    target = session.get_one(Operator, operators.operator_named(session, request.operator).id)
    if target.is_platform:
        raise MoveNotAllowed(state="platform", move="break_glass", allowed=[])
    secret = new_secret()
    row = SignIn(
        operator_id=target.id,
        hash=hash_of(secret),
        id=request.id,
        account_id=admin.account_id,
        name=admin.name,
        role=Role.AUDITOR,
        methods=admin.methods,
        created_at=now,
        seen_at=now,
        expires_at=now + timedelta(minutes=request.minutes),
        acts_for=request.reason,
    )
    data: Json = {"reason": request.reason, "minutes": request.minutes, "operator": target.slug}
    home, actor = _home(session), acting.actor_of(session)
    events.note(session, _broken(home, row, now, data))
    _enter(session, target.id, actor, request.reason)
    session.add(row)
    events.record(session, _broken(target.id, row, now, data))
    view = BreakGlassView(
        id=row.id,
        operator_id=target.id,
        operator=target.slug,
        reason=request.reason,
        expires_at=row.expires_at,
    )
    return view, sign_ins.opened(row, secret)


def _enter(session: Session, operator_id: UUID, actor: Actor, reason: str) -> None:
    acting.enter(session, operator_id, actor.model_copy(update={"acts_for": reason}))


def _refuse_not_ours(session: Session, home: UUID, request: NewOperatorAndOwner) -> None:
    """Let nobody become the owner of what works by API keys alone, and was made by others."""
    if session.get(Operator, request.id) is None:
        return
    made_here = select(Event.id).where(
        col(Event.operator_id) == home,
        col(Event.subject_id) == request.id,
        col(Event.kind) == "operator_created",
    )
    if session.exec(made_here.limit(1)).first() is None:
        raise MoveNotAllowed(state="owned", move="create", allowed=[])


def _home(session: Session) -> UUID:
    home = acting.operator_of(session)
    assert home is not None
    return home


def _broken(operator_id: UUID, row: SignIn, now: datetime, data: Json) -> Json:
    return events.happened(
        "glass_broken",
        row.account_id,
        operator_id=operator_id,
        campaign_id=None,
        at=now,
        data=data,
    )
