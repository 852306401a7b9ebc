"""Lets people in and out: sign-in, sign-out, first set-up and invitations; and knows the visitor of every request."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote, unquote_to_bytes, urlsplit

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie, State
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.exceptions import PermissionDeniedException
from litestar.params import Body, FromPath, FromQuery
from litestar.response import Redirect

from recoup.domain import authority
from recoup.domain.authority import Act
from recoup.engine.house import House
from recoup.engine.ids import new_secret
from recoup.store import users
from recoup.store.engines import reading
from recoup.web import auth
from recoup.web.auth import Entry, Visit
from recoup.web.pages.frame import GUARDED, page, seen
from recoup.web.pages.throttle import Throttle

Ask: TypeAlias = Request[Any, Any, State]
Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
Home = NamedDependency[House]
Visitor = NamedDependency[Visit]
Tries = NamedDependency[Throttle]

FORM_COOKIE = "recoup_form"
OUT_OF_DATE = "This form is out of date; nothing was done. Go back, reload the page and try again."
WRONG = "Login or password is wrong. Check both and try again."
TOO_OFTEN = "Too many tries. Wait 15 minutes, then try again."


class SignInNeeded(Exception):
    """Nobody is signed in here; `back` is where they wanted to go."""

    def __init__(self, back: str) -> None:
        super().__init__(back)
        self.back = back


class NotYours(PermissionDeniedException):
    """A role that may look and not act, or a form that did not come from our own page."""


def named(request: Ask, prefix: str) -> str:
    """What stands in the address after `prefix`: an id from outside, which may hold slashes and signs of any kind."""
    raw: bytes = request.scope["raw_path"].split(b"?", 1)[0]
    return unquote_to_bytes(raw).decode("utf-8", errors="replace").removeprefix(prefix)


def typed(form: dict[str, Any], name: str) -> str:
    """One field of a form as text; empty where it is missing."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def secure(house: House) -> bool:
    """Whether people reach this house over TLS."""
    return house.links.base_url.startswith("https://")


def session_name(house: House) -> str:
    """The cookie's name; over TLS with the prefix that binds it to this very host."""
    return "__Host-recoup" if secure(house) else "recoup"


def visiting(request: Ask, house: Home) -> Visit:
    """The visitor of this request. Raises `SignInNeeded`."""
    zone = seen(request.cookies)
    found = auth.visit(house, request.cookies.get(session_name(house)), zone)
    if found is None:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise SignInNeeded(back if request.method == "GET" else "/")
    return found


def may_act(visit: Visit, form: dict[str, Any]) -> None:
    """Passes people whose role may act and whose form came from our own page. Raises `NotYours`."""
    from_our_page(visit, form)
    if not visit.may_act:
        raise NotYours(
            f"You are signed in as {visit.user.login}, who may look but not act. Ask an admin for the role agent."
        )


def may_do(visit: Visit, form: dict[str, Any], act: Act) -> None:
    """Passes people whose role may do this and whose form came from our own page. Raises `NotYours`."""
    from_our_page(visit, form)
    if not visit.may(act):
        roles = ", ".join(sorted(authority.MAY[act]))
        raise NotYours(
            f"You are signed in as {visit.user.login} ({visit.user.role}). This needs one of the roles {roles}; ask an admin."
        )


def admin_only(visit: Visit, form: dict[str, Any] | None = None) -> None:
    """Passes admins; with `form` also checks where it came from. Raises `NotYours`."""
    if form is not None:
        from_our_page(visit, form)
    if not visit.is_admin:
        raise NotYours(f"You are signed in as {visit.user.login}; only an admin may do this.")


def from_our_page(visit: Visit, form: dict[str, Any]) -> None:
    """Passes forms that carry this session's own token. Raises `NotYours`."""
    if not auth.same(visit.csrf, typed(form, "csrf")):
        raise NotYours(OUT_OF_DATE)


def back_to(address: str) -> str:
    """An address inside this house; anything that would lead elsewhere becomes the first page."""
    parts = urlsplit(address)
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.netloc
    return address if inside and address.isprintable() and "\\" not in address else "/"


def to_sign_in(request: Ask, needed: Exception) -> Response[Any]:
    """Leads to the sign-in page and remembers the way back; a part that swaps in place loads the whole page anew."""
    back = needed.back if isinstance(needed, SignInNeeded) else "/"
    where = "/signin" + ("" if back == "/" else f"?back={quote(back, safe='')}")
    if request.headers.get("HX-Request"):
        return Response(b"", status_code=200, headers={**GUARDED, "HX-Redirect": where})
    return Redirect(where, status_code=303, headers=GUARDED)


def _form_page(house: House, template: str, *, status: int = 200, **values: Any) -> Response[str]:
    """A page with a form for people who are not signed in: the token stands in a cookie and in the form."""
    token = new_secret("f")
    cookie = Cookie(
        key=FORM_COOKIE,
        value=token,
        path="/",
        httponly=True,
        samesite="strict",
        secure=secure(house),
        max_age=7200,
    )
    return page(template, status=status, cookies=[cookie], token=token, **values)


def _own_form(request: Ask, form: dict[str, Any]) -> bool:
    return auth.same(request.cookies.get(FORM_COOKIE, ""), typed(form, "csrf"))


def _let_in(house: House, entry: Entry, where: str, now: datetime) -> Redirect:
    cookie = Cookie(
        key=session_name(house), value=entry.secret, path="/", httponly=True, samesite="lax", secure=secure(house),
        max_age=int((entry.expires_at - now).total_seconds()),
    )  # fmt: skip
    return Redirect(where, status_code=303, headers=GUARDED, cookies=[cookie])


@get("/signin", sync_to_thread=True, include_in_schema=False)
def sign_in_page(request: Ask, house: Home, back: FromQuery[str] = "/") -> Response[Any]:
    """Asks for login and password."""
    if auth.visit(house, request.cookies.get(session_name(house)), "UTC") is not None:
        return Redirect(back_to(back), status_code=303, headers=GUARDED)
    with reading(house.db) as tx:
        nobody = users.count(tx) == 0
    return _form_page(house, "signin.html", back=back_to(back), says="", login="", nobody=nobody)


@post("/signin", sync_to_thread=True, include_in_schema=False)
def sign_in(request: Ask, house: Home, tries: Tries, data: Form) -> Response[Any]:
    """Signs in and leads back; ten wrong tries in a quarter of an hour, by login or by address, are enough."""
    login, back = typed(data, "login"), back_to(typed(data, "back") or "/")

    def again(says: str, status: int) -> Response[str]:
        return _form_page(
            house, "signin.html", status=status, back=back, says=says, login=login, nobody=False
        )

    if not _own_form(request, data):
        return again(OUT_OF_DATE, 403)
    keys = (f"login {login.strip().lower()[:100]}", f"from {request.client.host if request.client else '?'}")
    if any(tries.full(key) for key in keys):
        return again(TOO_OFTEN, 429)
    entry = auth.sign_in(house, login, typed(data, "password"))
    if entry is None:
        for key in keys:
            tries.add(key)
        return again(WRONG, 401)
    for key in keys:
        tries.forget(key)
    return _let_in(house, entry, back, house.clock.now())


@post("/signout", sync_to_thread=True, include_in_schema=False)
def sign_out(house: Home, visit: Visitor, data: Form) -> Response[Any]:
    """Ends this browser's session."""
    from_our_page(visit, data)
    auth.sign_out(house, visit.secret)
    gone = Cookie(key=session_name(house), value="", path="/", max_age=0, httponly=True, secure=secure(house))
    return Redirect("/signin", status_code=303, headers=GUARDED, cookies=[gone])


@get("/setup/{secret:str}", sync_to_thread=True, include_in_schema=False)
def setup_page(house: Home, secret: FromPath[str]) -> Response[Any]:
    """Asks the person a link was made for to choose login and password."""
    role = auth.link_role(house, secret)
    if role is None:
        return _form_page(house, "setup.html", status=410, role=None, says="", login="", secret="")
    return _form_page(house, "setup.html", role=role, says="", login="", secret=secret)


@post("/setup/{secret:str}", sync_to_thread=True, include_in_schema=False)
def setup(request: Ask, house: Home, secret: FromPath[str], data: Form) -> Response[Any]:
    """Makes the person and signs them in."""
    login, password = typed(data, "login"), typed(data, "password")
    role = auth.link_role(house, secret)
    if role is None:
        return _form_page(house, "setup.html", status=410, role=None, says="", login="", secret="")

    def again(says: str, status: int) -> Response[str]:
        return _form_page(
            house, "setup.html", status=status, role=role, says=says, login=login, secret=secret
        )

    if not _own_form(request, data):
        return again(OUT_OF_DATE, 403)
    if password != typed(data, "password_again"):
        return again("The two passwords differ; type the same one twice.", 422)
    try:
        entry = auth.accept(house, secret, login, password)
    except auth.NotGood as e:
        return again(str(e), 422)
    if entry is None:
        return again("This link was used a moment ago. Sign in, or ask for another one.", 410)
    return _let_in(house, entry, "/", house.clock.now())


handlers = [sign_in_page, sign_in, sign_out, setup_page, setup]
