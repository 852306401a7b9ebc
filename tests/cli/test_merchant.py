"""`recoup merchant`: accounts are checked and sealed, keys shown once and stored as digests."""

import json
from collections.abc import Iterator

import pytest

from recoup.engine.house import House
from recoup.psp.generic import Generic
from recoup.settings import Settings
from recoup.store import keys, merchants
from recoup.store.engines import reading
from recoup.wiring import assemble
from tests.cli.commands import SECRET, Desk


@pytest.fixture
def house(desk: Desk) -> Iterator[House]:
    """The house that the desk's commands work in."""
    desk.done("migrate")
    made = assemble(Settings(database_url=desk.env["RECOUP_DATABASE_URL"], secret_key=SECRET))
    yield made
    made.db.dispose()


def key_of(house: House, text: str) -> keys.Key | None:
    with reading(house.db) as tx:
        return keys.find(tx, text)


def test_what_is_added_can_be_used(desk: Desk, house: House) -> None:
    (desk.home / "own.toml").write_text('name = "own"\nwindow = "P9D"\n')
    added = desk.merchant("acme", "--policy", "own.toml", "--test-clock", "2026-03-02T10:00:00+01:00",
                          "--support", "help@acme.example", "--brand-name", "Acme Ltd")  # fmt: skip
    assert set(added) == {"merchant", "name", "api_key", "hook_url", "hook_secret"}
    assert added["hook_url"] == f"http://127.0.0.1:8080/hooks/generic/{added['merchant']}"
    with reading(house.db) as tx:
        merchant = merchants.get(tx, "acme")
        assert house.policy(tx, merchant.id, merchant.policy).name == "own"
    assert merchant.policy == "own@1"
    assert merchant.clock_now is not None
    assert merchant.clock_now.isoformat() == "2026-03-02T09:00:00+00:00"
    assert (merchant.brand.name, merchant.brand.support) == ("Acme Ltd", "help@acme.example")
    assert isinstance(house.gateway(merchant), Generic)
    found = key_of(house, added["api_key"])
    assert found is not None
    assert found.merchant_id == merchant.id
    assert set(found.scopes) == {"read", "write", "admin"}


def test_its_country_is_two_letters_or_not_told(desk: Desk, house: House) -> None:
    desk.merchant("acme")
    for told, kept in (("de", "DE"), (None, "DE"), ("none", None)):
        desk.done(
            "merchant",
            "change",
            "acme",
            *(("--country", told) if told else ("--support", "help@acme.example")),
        )
        assert json.loads(desk.done("merchant", "show", "acme"))["country"] == kept
    wrong = desk.run("merchant", "change", "acme", "--country", "Germany")
    assert (wrong.returncode, "two letters" in wrong.stderr) == (2, True)


def test_secrets_are_shown_once_and_stored_sealed(desk: Desk, house: House) -> None:
    added = desk.merchant("acme")
    shown = desk.done("merchant", "show", "acme") + desk.done("merchant", "list", "--json")
    shown += desk.run("doctor").stdout
    assert "acme" in shown
    for secret in (added["api_key"], added["hook_secret"], SECRET):
        assert secret not in shown
    with reading(house.db) as tx:
        merchant = merchants.get(tx, "acme")
    assert added["hook_secret"].encode() not in merchant.account


def test_a_new_key_ends_the_old_one(desk: Desk, house: House) -> None:
    added = desk.merchant("acme")
    kept = desk.json("merchant", "rotate-key", "acme", "--keep-old")
    assert kept["ended"] == 0
    assert key_of(house, added["api_key"]) is not None
    new = desk.json("merchant", "rotate-key", "acme")
    assert new["ended"] == 2
    assert key_of(house, added["api_key"]) is None
    assert key_of(house, new["api_key"]) is not None
    assert key_of(house, new["api_key"][:-1] + ("1" if new["api_key"].endswith("0") else "0")) is None


def test_a_key_may_be_made_for_less(desk: Desk, house: House) -> None:
    desk.merchant("acme")
    made = desk.json("merchant", "rotate-key", "acme", "--keep-old", "--scope", "read")
    assert (made["scopes"], made["ended"]) == (["read"], 0)
    found = key_of(house, made["api_key"])
    assert found is not None
    assert found.scopes == ("read",)
    two = desk.json("merchant", "rotate-key", "acme", "--keep-old", "--scope", "write", "--scope", "read")
    assert set(two["scopes"]) == {"read", "write"}
    refused = desk.run("merchant", "rotate-key", "acme", "--scope", "everything")
    assert refused.returncode == 2
    assert len(desk.json("merchant", "show", "acme")["api_keys"]) == 3


def test_a_rotated_hook_secret_leaves_the_old_one_valid(desk: Desk, house: House) -> None:
    added = desk.merchant("acme")
    fresh = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
    desk.done("merchant", "change", "acme", "--hook-secret", fresh)
    with reading(house.db) as tx:
        account = house.vault.open(merchants.get(tx, "acme").account)
    assert account["hook_secret"].split() == [fresh, added["hook_secret"]]
    assert account["url"] == "http://127.0.0.1:9"


def test_a_removed_merchant_is_gone_and_its_name_free(desk: Desk, house: House) -> None:
    added = desk.merchant("acme")
    refused = desk.run("merchant", "remove", "acme", stdin="n\n")
    assert refused.returncode != 0
    desk.done("merchant", "remove", "acme", stdin="y\n")
    assert key_of(house, added["api_key"]) is None
    assert desk.run("merchant", "show", "acme").returncode == 2
    again = desk.merchant("acme")
    assert again["merchant"] != added["merchant"]
    assert [json.loads(line)["name"] for line in desk.done("merchant", "list", "--json").splitlines()] == [
        "acme"
    ]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--psp", "generic", "--url", "http://x"), 2, "--token missing"),
        (("--psp", "stripe"), 2, "--key missing"),
        (("--psp", "paypal"), 2, "choose generic, sandbox, stripe"),
        (("--psp", "generic", "--url", "http://x", "--token", "t", "--key", "k"), 2, "has no 'key'"),
        (("--psp", "generic", "--url", "http://x", "--token", "t", "--set", "colour=red"), 2, "has no 'colour'"),
        (("--psp", "generic", "--url", "ftp://x", "--token", "t"), 2, "cannot be used"),
        (("--psp", "generic", "--url", "http://x", "--token", "t", "--hook-secret", "short"), 2, "cannot be used"),
        (("--psp", "sandbox", "--test-clock", "soon"), 2, "not an instant"),
        (("--psp", "sandbox", "--test-clock", "2026-03-02T09:00:00"), 2, "not an instant"),
        (("--psp", "sandbox", "--policy", "bad.toml"), 1, "bad.toml, line 2 (window)"),
        (("--psp", "sandbox", "--policy", "none.toml"), 2, "no policy 'none.toml'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_and_nothing_stored(
    small_desk: Desk, more: tuple[str, ...], code: int, words: str
) -> None:
    small_desk.done("migrate")
    (small_desk.home / "bad.toml").write_text('name = "x"\nwindow = "soon"\n')
    ended = small_desk.run("merchant", "add", "acme", *more)
    assert (ended.returncode, words in ended.stderr) == (code, True), ended.stderr
    assert "no merchant yet" in small_desk.done("merchant", "list")


def test_a_name_is_taken_once(small_desk: Desk) -> None:
    small_desk.merchant("acme")
    ended = small_desk.run("merchant", "add", "acme", "--psp", "sandbox")
    assert ended.returncode == 2
    assert "exists already" in ended.stderr


def test_origins_of_the_product_are_declared_changed_and_refused(desk: Desk, house: House) -> None:
    desk.merchant("acme", "--app-origin", "https://app.acme.example", "--app-origin", "http://localhost:3000")

    def declared() -> tuple[str, ...]:
        with reading(house.db) as tx:
            return merchants.get(tx, "acme").brand.origins

    assert declared() == ("https://app.acme.example", "http://localhost:3000")
    desk.done("merchant", "change", "acme", "--support", "help@acme.example")
    assert len(declared()) == 2
    desk.done("merchant", "change", "acme", "--app-origin", "https://acme.example:8443")
    assert declared() == ("https://acme.example:8443",)
    for wrong in ("https://acme.example/app", "acme.example", "http://acme.example", "*", "null"):
        refused = desk.run("merchant", "change", "acme", "--app-origin", wrong)
        assert refused.returncode == 2
        assert "is no origin" in refused.stderr
    desk.done("merchant", "change", "acme", "--app-origin", "none")
    assert declared() == ()
