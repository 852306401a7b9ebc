"""Who may sign in: an admin sees everybody, invites by link, gives roles and addresses, and shuts people out."""

from typing import Any

from litestar import Response, get, post

from recoup.channels.address import BadAddress, check_address
from recoup.domain.authority import ROLE_WORDS
from recoup.engine import audit
from recoup.engine.house import House
from recoup.store import sessions, users
from recoup.store.audit import HOUSE
from recoup.store.engines import reading, writing
from recoup.web import auth
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk
from recoup.web.pages.door import Form, Home, Visitor, admin_only, typed


@get("/people", sync_to_thread=True, include_in_schema=False)
def people_page(house: Home, visit: Visitor) -> Response[str]:
    """Everybody who may sign in."""
    admin_only(visit)
    return _shown(house, visit)


def _shown(house: House, visit: Visit, *, link: str = "", says: str = "", status: int = 200) -> Response[str]:
    with reading(house.db) as tx:
        everyone = users.everyone(tx)
    return desk(
        visit,
        "people.html",
        tab="/people",
        everyone=everyone,
        roles=ROLE_WORDS,
        link=link,
        says=says,
        status=status,
    )


@post("/people", sync_to_thread=True, include_in_schema=False)
def change_people(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Invites somebody, changes a role or an address, shuts somebody out or lets them in again."""
    admin_only(visit, data)
    match typed(data, "do"):
        case "invite":
            return _invite(house, visit, typed(data, "role"))
        case "role":
            return _role(house, visit, typed(data, "user"), typed(data, "role"), typed(data, "email").strip())
        case "shut_out":
            return _shut_out(house, visit, typed(data, "user"))
        case "let_in":
            with writing(house.db) as tx:
                users.disable(tx, typed(data, "user"), None)
                _note(tx, visit, "person.let_in", typed(data, "user"))
            return _shown(house, visit)
        case _:
            return _shown(house, visit, says="That is no action this page knows.", status=422)


def _note(tx: Any, visit: Visit, what: str, user_id: str, **more: object) -> None:
    user = users.get(tx, user_id)
    audit.note(
        tx,
        HOUSE,
        actor=visit.actor,
        what=what,
        subject=user.login if user else user_id,
        now=visit.real,
        **more,
    )


def _invite(house: House, visit: Visit, wanted: str) -> Response[str]:
    role = users.role_of(wanted)
    if role is None:
        return _shown(house, visit, says=f"Choose a role: {', '.join(ROLE_WORDS)}.", status=422)
    with writing(house.db) as tx:
        audit.note(
            tx, HOUSE, actor=visit.actor, what="person.invited", subject=role, now=visit.real, role=role
        )
    return _shown(house, visit, link=auth.invite(house, role))


def _role(house: House, visit: Visit, user_id: str, wanted: str, email: str) -> Response[str]:
    role = users.role_of(wanted)
    if role is None:
        return _shown(house, visit, says=f"Choose a role: {', '.join(ROLE_WORDS)}.", status=422)
    try:
        address = check_address(email).written if email else None
    except BadAddress as e:
        return _shown(house, visit, says=f"{email} is no e-mail address: {e}.", status=422)
    with writing(house.db) as tx:
        user = users.get(tx, user_id)
        if user is None:
            return _shown(house, visit, says="There is nobody of that id; reload the page.", status=422)
        if user.role == "admin" and role != "admin" and users.active_admins(tx) <= 1:
            says = "This is the last admin; give somebody else that role first."
            return _shown(house, visit, says=says, status=409)
        users.set_role(tx, user_id, role)
        users.set_email(tx, user_id, address)
        _note(tx, visit, "person.role", user_id, role=role, before=user.role)
    return _shown(house, visit)


def _shut_out(house: House, visit: Visit, user_id: str) -> Response[str]:
    with writing(house.db) as tx:
        user = users.get(tx, user_id)
        last_admin = user is not None and user.role == "admin" and users.active_admins(tx) <= 1
        if user is not None and not last_admin:
            users.disable(tx, user.id, visit.real)
            sessions.end_all(tx, user.id)
            _note(tx, visit, "person.shut_out", user.id)
    if last_admin:
        says = "This is the last admin; nobody could let people in any more. Invite another admin first."
        return _shown(house, visit, says=says, status=409)
    return _shown(house, visit)


handlers = [people_page, change_people]
