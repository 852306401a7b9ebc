"""`recoup doctor`: every fault comes with its fix, and the exit code says how bad it is."""

import json
from typing import Any

import pytest

from tests.cli.commands import Desk
from tests.support.name_server import name_server

BAD_PROVIDER = "postmark://hush@?from=billing@acme.example&api=http://127.0.0.1:9&hook=hush"
BAD_MAIL = "smtp://user:hush@127.0.0.1:9?from=billing@acme.example"


def checks(desk: Desk, **env: str) -> tuple[int, list[dict[str, Any]], str]:
    ended = desk.run("doctor", "--json", env=env)
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()], ended.stderr


def about(found: list[dict[str, Any]], words: str) -> dict[str, Any]:
    (one,) = [c for c in found if words in c["what"]]
    return one


def test_an_installation_in_order(desk: Desk) -> None:
    desk.done("migrate")
    desk.done("merchant", "add", "acme", "--psp", "sandbox")
    code, found, _ = checks(desk, RECOUP_BASE_URL="https://pay.acme.example")
    assert code == 0
    assert {c["state"] for c in found} <= {"ok", "remark"}
    assert about(found, "at this version")["state"] == "ok"
    assert about(found, "books are in order")["what"].startswith("merchant acme")
    clock = [c for c in found if "clock agrees" in c["what"]]
    assert len(clock) == ("postgresql" in desk.env["RECOUP_DATABASE_URL"])


def test_each_fault_has_its_fix(desk: Desk) -> None:
    code, found, _ = checks(desk, RECOUP_BASE_URL="http://pay.acme.example")
    assert code == 1
    assert "https" in about(found, "reach http://pay")["fix"]
    assert about(found, "at this version") == {
        "state": "fault", "what": "the database is at this version", "fix": "run `recoup migrate`",
    }  # fmt: skip
    assert all(c["fix"] for c in found if c["state"] != "ok")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"RECOUP_DATABASE_URL": "postgresql://u:hush@127.0.0.1:9/x"}, "the database answers"),
        ({"RECOUP_SMTP_URL": BAD_MAIL}, "the mail server lets us in"),
        ({"RECOUP_MAIL_URL": BAD_PROVIDER}, "the mail provider lets us in"),
    ],
)
def test_a_service_that_is_away(small_desk: Desk, env: dict[str, str], words: str) -> None:
    small_desk.done("migrate")
    code, found, said = checks(small_desk, **env)
    assert code == 3
    assert about(found, words)["state"] == "unreachable"
    assert "hush" not in json.dumps(found) + said


def test_a_billing_that_does_not_answer(small_desk: Desk) -> None:
    small_desk.merchant()
    code, found, _ = checks(small_desk)
    assert code == 3
    assert "connection" in about(found, "billing can be reached")["fix"]


@pytest.mark.parametrize(("key", "words"), [("short", "at least 32"), ("s" * 64, "could be guessed")])
def test_a_weak_secret(small_desk: Desk, key: str, words: str) -> None:
    small_desk.done("migrate")
    code, found, _ = checks(small_desk, RECOUP_SECRET_KEY=key)
    assert code == 1
    assert words in about(found, "secret key is strong")["fix"]
    assert about(found, "at this version")["state"] == "ok"


def test_settings_are_shown_with_secrets_masked(small_desk: Desk) -> None:
    small_desk.done("migrate")
    said = small_desk.run("doctor", env={"RECOUP_SMTP_URL": BAD_MAIL}).stdout
    assert "RECOUP_SMTP_URL" in said
    assert "127.0.0.1:9" in said
    assert "hush" not in said
    assert small_desk.env["RECOUP_SECRET_KEY"] not in said


def test_another_secret_key_is_named(small_desk: Desk) -> None:
    small_desk.merchant()
    code, found, _ = checks(small_desk, RECOUP_SECRET_KEY="another-key-another-key-another-key-0987")
    assert code == 1
    assert "RECOUP_OLD_SECRET_KEYS" in about(found, "account can be opened")["fix"]


def test_mail_that_leaves_is_looked_at_by_the_name_server_that_is_named(small_desk: Desk) -> None:
    small_desk.done("migrate")
    small_desk.done("merchant", "add", "acme", "--psp", "sandbox", "--support", "help@acme.example")
    with name_server() as server:
        server.zone = {
            "acme.example": {"MX": ["10 mail.acme.example."]},
            "mail.acme.example": {"A": ["192.0.2.10"]},
        }
        env = {
            "RECOUP_SMTP_URL": "smtp://127.0.0.1:9?from=billing@acme.example",
            "RECOUP_DNS": server.address,
        }
        _, found, _ = checks(small_desk, **env)
        spf = about(found, "mail from acme.example: SPF")
        assert spf["state"] == "fault"
        assert spf["records"] == ['acme.example. TXT "v=spf1 ip4:ADDRESS ~all"']
        assert about(found, "merchant acme: Replies")["state"] == "ok"
        said = small_desk.run("doctor", env=env).stdout
    assert '          _dmarc.acme.example. TXT "v=DMARC1; p=none;' in said
