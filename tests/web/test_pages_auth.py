"""Signing in and out, set-up and invitation links, roles, and forms that must come from our own pages."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.engine.house import House
from recoup.store import sessions, tables, users
from recoup.store.engines import reading, writing
from recoup.web import auth
from recoup.web.pages import page_routes
from recoup.web.pages.door import back_to
from tests.support import house as houses
from tests.web import pages


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with houses.standing(database_url) as standing:
        yield standing


@pytest.fixture
def quick_house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as standing:
        yield standing


def test_the_first_person_sets_themselves_up_once(house: House) -> None:
    link = auth.setup_link(house)
    assert link is not None
    path = link.removeprefix(house.links.base_url)
    with pages.client_of(house) as client:
        form = {"csrf": pages.csrf_of(client.get(path).text), "login": "anna", "password": pages.PASSWORD,
                "password_again": pages.PASSWORD}  # fmt: skip
        answer = client.post(path, data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert client.get("/").status_code == 200
        again = client.get(path)
        assert again.status_code == 410
        assert "does not work any more" in again.text
    assert auth.setup_link(house) is None
    with reading(house.db) as tx:
        (anna,) = users.everyone(tx)
    assert (anna.role, anna.password.startswith("$argon2id$")) == ("admin", True)
    assert pages.PASSWORD not in repr(anna)


def test_a_newer_set_up_link_makes_the_older_void_and_both_expire(house: House) -> None:
    old, new = (link.rsplit("/", 1)[1] for link in (auth.setup_link(house), auth.setup_link(house)) if link)
    assert auth.link_role(house, old) is None
    assert auth.link_role(house, new) == "admin"
    houses.clock_of(house).forward(timedelta(hours=25))
    assert auth.link_role(house, new) is None
    assert auth.accept(house, new, "eve", pages.PASSWORD) is None


@pytest.mark.parametrize(
    ("login", "password", "says"),
    [
        ("anna", "short", "use at least 12"),
        ("", "correct horse battery", "Type a login"),
        ("staff:eve", "correct horse battery", "without a colon"),
        ("correct-horse-b", "correct-horse-b", "must not be your login"),
    ],
)
def test_what_cannot_be_a_login_or_password_is_said(
    quick_house: House, login: str, password: str, says: str
) -> None:
    link = auth.setup_link(quick_house)
    assert link is not None
    with pytest.raises(auth.NotGood, match=says):
        auth.accept(quick_house, link.rsplit("/", 1)[1], login, password)
    assert auth.link_role(quick_house, link.rsplit("/", 1)[1]) == "admin"


def test_a_taken_login_does_not_use_the_invitation_up(house: House) -> None:
    pages.person(house)
    link = auth.invite(house, "agent").rsplit("/", 1)[1]
    with pytest.raises(auth.NotGood, match="taken"):
        auth.accept(house, link, "anna", pages.PASSWORD)
    assert auth.link_role(house, link) == "agent"


def test_who_is_not_signed_in_is_led_to_sign_in_and_back(house: House) -> None:
    houses.add_merchant(house)
    pages.person(house)
    with pages.client_of(house) as client:
        away = client.get("/cases?state=open&q=a%20b")
        assert away.status_code == 303
        assert away.headers["location"] == "/signin?back=%2Fcases%3Fstate%3Dopen%26q%3Da%2520b"
        html = client.get(away.headers["location"]).text
        back = re.search(r'name="back" value="([^"]+)"', html)
        assert back
        form = {"csrf": pages.csrf_of(html), "login": "anna", "password": pages.PASSWORD,
                "back": back[1].replace("&amp;", "&")}  # fmt: skip
        assert client.post("/signin", data=form).headers["location"] == "/cases?state=open&q=a%20b"


@pytest.mark.parametrize(
    "evil", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
def test_the_way_back_never_leads_out(evil: str) -> None:
    assert back_to(evil) == "/"


def test_wrong_passwords_say_little_and_are_throttled(quick_house: House) -> None:
    pages.person(quick_house)
    with pages.client_of(quick_house) as client:
        token = pages.csrf_of(client.get("/signin").text)
        for login in ["anna"] * 9 + ["nobody"]:
            answer = client.post(
                "/signin", data={"csrf": token, "login": login, "password": "wrong wrong wrong"}
            )
            assert answer.status_code == 401
            assert "Login or password is wrong" in answer.text
            token = pages.csrf_of(answer.text)
        right = {"csrf": token, "login": "anna", "password": pages.PASSWORD}
        refused = client.post("/signin", data=right)
        assert refused.status_code == 429
        houses.clock_of(quick_house).forward(timedelta(minutes=16))
        assert client.post("/signin", data={**right, "csrf": pages.csrf_of(refused.text)}).status_code == 303


def test_signing_out_ends_the_session_on_the_server_too(house: House) -> None:
    pages.person(house)
    with pages.client_of(house) as client:
        token = pages.signed_in(client)
        secret = client.cookies["recoup"]
        assert client.post("/signout", data={"csrf": token}).headers["location"] == "/signin"
        client.cookies.set("recoup", secret)
        assert client.get("/").status_code == 303


def test_a_session_ends_when_idle_and_lives_on_when_used(house: House) -> None:
    pages.person(house)
    clock = houses.clock_of(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        for _ in range(3):
            clock.forward(timedelta(hours=8))
            assert client.get("/keys").status_code == 200
        clock.forward(timedelta(hours=13))
        assert client.get("/keys").status_code == 303


def test_no_session_outlives_its_limit(quick_house: House) -> None:
    pages.person(quick_house)
    clock = houses.clock_of(quick_house)
    with pages.client_of(quick_house) as client:
        pages.signed_in(client)
        days = 0.0
        while client.get("/keys").status_code == 200:
            clock.forward(timedelta(hours=5))
            days += 5 / 24
            assert days <= 14.3
        assert days > 12


def test_only_digests_of_secrets_are_stored(house: House) -> None:
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        secret = client.cookies["recoup"]
    with reading(house.db) as tx:
        stored = tx.execute(tables.sessions.select()).all()
        links = tx.execute(tables.one_time_links.select()).all()
    assert sessions.digest(secret) in [bytes(row.digest) for row in stored]
    assert secret not in repr(stored)
    assert re.search(r"\b(in|se)_[0-9a-z]{32}\b", repr(stored) + repr(links)) is None


def test_somebody_shut_out_is_out_at_once(house: House) -> None:
    pages.person(house)
    pages.person(house, "ben", "agent")
    with pages.client_of(house) as anna, pages.client_of(house) as ben:
        token = pages.signed_in(anna)
        pages.signed_in(ben, "ben")
        with reading(house.db) as tx:
            who = users.by_login(tx, "ben")
        assert who
        assert anna.post("/people", data={"csrf": token, "do": "shut_out", "user": who.id}).status_code == 200
        assert ben.get("/keys").status_code == 303
    assert auth.sign_in(house, "ben", pages.PASSWORD) is None


def test_the_last_admin_cannot_be_shut_out(house: House) -> None:
    pages.person(house)
    with reading(house.db) as tx:
        anna = users.by_login(tx, "anna")
    assert anna
    with pages.client_of(house) as client:
        token = pages.signed_in(client)
        answer = client.post("/people", data={"csrf": token, "do": "shut_out", "user": anna.id})
        assert answer.status_code == 409
        assert "last admin" in answer.text


def test_an_invited_viewer_looks_and_cannot_act(house: House) -> None:
    merchant = houses.add_merchant(house)
    houses.fail(house, merchant, houses.view(1))
    pages.person(house)
    with pages.client_of(house) as anna:
        token = pages.signed_in(anna)
        html = anna.post("/people", data={"csrf": token, "do": "invite", "role": "viewer"}).text
    link = re.search(r"/setup/(in_\w+)", html)
    assert link
    assert auth.accept(house, link[1], "vera", pages.PASSWORD)
    with pages.client_of(house) as vera:
        token = pages.signed_in(vera, "vera")
        assert "Pause" not in vera.get("/cases/c_1").text
        for form in ({"do": "pause", "reason": "x"}, {"do": "retry"}, {"do": "close", "outcome": "void", "reason": "x"},
                     {"do": "note", "text": "x"}, {"do": "assign", "to": "me"}):  # fmt: skip
            answer = vera.post("/cases/c_1", data={"csrf": token, **form})
            assert answer.status_code == 403, form
            assert "look but not act" in answer.text
        assert vera.get("/people").status_code == 403
    assert [x.actor for x in pages.facts_of(house, merchant, "c_1") if x.actor.startswith("staff")] == []


def _post_paths(house: House) -> list[str]:
    handlers = [
        h
        for router in page_routes(house)
        for route in router.routes
        for h in getattr(route, "route_handlers", [])
    ]
    found = {p for h in handlers if "POST" in h.http_methods for p in h.paths}
    return sorted(p for p in found if not p.startswith(("/pay", "/u/", "/card/")))


def test_every_form_for_staff_is_refused_without_the_sessions_own_token(quick_house: House) -> None:
    merchant = houses.add_merchant(quick_house)
    houses.fail(quick_house, merchant, houses.view(1))
    pages.person(quick_house)
    paths = _post_paths(quick_house)
    assert {"/signin", "/signout", "/merchant", "/people"} <= set(paths)
    with pages.client_of(quick_house) as client:
        pages.signed_in(client)
        for path in paths:
            if path.startswith(("/signin", "/setup")):
                continue
            where = path.replace("{case_id:path}", "c_1")
            for token in ("", "cs_guess"):
                answer = client.post(where, data={"csrf": token, "do": "note", "text": "x"})
                assert answer.status_code == 403, where
        assert client.get("/keys").status_code == 200
    with pages.client_of(quick_house) as stranger:
        answer = stranger.post("/signin", data={"csrf": "guess", "login": "anna", "password": pages.PASSWORD})
        assert answer.status_code == 403


def test_people_see_only_their_merchants(house: House) -> None:
    acme, other = houses.add_merchant(house, "acme"), houses.add_merchant(house, "other")
    houses.fail(house, acme, houses.view(1))
    houses.fail(house, other, houses.view(2))
    pages.person(house, "olga", "agent", merchants=(other.id,))
    with pages.client_of(house) as client:
        token = pages.signed_in(client, "olga")
        assert client.get("/cases/c_2").status_code == 200
        assert client.get("/cases/c_1").status_code == 404
        client.post("/merchant", data={"csrf": token, "merchant": acme.id})
        assert client.get("/cases/c_1").status_code == 404
        assert "Acme" not in client.get("/").text
    assert pages.facts_of(house, acme, "c_1")


def test_over_tls_the_cookie_is_bound_to_host_and_tls(sqlite_url: str) -> None:
    with houses.standing(sqlite_url, base_url="https://recoup.example") as house:
        pages.person(house)
        with pages.client_of(house) as client:
            client.base_url = "https://testserver.local"
            token = pages.csrf_of(client.get("/signin").text)
            answer = client.post("/signin", data={"csrf": token, "login": "anna", "password": pages.PASSWORD})
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith("__Host-recoup=")
            assert "Secure" in cookie


def test_a_link_of_any_other_kind_opens_nothing(quick_house: House) -> None:
    with writing(quick_house.db) as tx:
        now = quick_house.clock.now()
        sessions.make_link(tx, "x_secret", purpose="something", now=now, expires_at=now + timedelta(days=1))
    assert auth.link_role(quick_house, "x_secret") is None
