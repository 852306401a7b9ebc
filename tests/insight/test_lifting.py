"""What DuckDB lifts out of bodies equals what is worked out case by case, whatever lives the cases had."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import msgspec
import pytest

from recoup.insight import lifting
from tests.insight.lifted_by_hand import (
    ARM_COLUMNS,
    ATTEMPT_COLUMNS,
    CASE_COLUMNS,
    MESSAGE_COLUMNS,
    Cell,
    lifted,
)

BEGIN = datetime(2021, 1, 1, tzinfo=UTC)
CODES = (
    None,
    "",
    "51",
    "05",
    "43",
    "54",
    "1A",
    "R0",
    "insufficient_funds",
    "AM04",
    "MD01",
    "nothing like it",
    "it's not",
    "82",
    "14",
)
PSPS = (None, "", "stripe", "adyen", "gocardless", "generic")


def _instant(dice: Random, since: datetime) -> str:
    at = since + timedelta(seconds=dice.randrange(0, 40 * 86_400), microseconds=dice.choice((0, 0, 250_000)))
    text = at.isoformat()
    return text if dice.random() < 0.1 else text.replace("+00:00", "Z")


def _maybe(dice: Random, *values: Any) -> Any:
    return dice.choice((None, "", *values))


def _life(dice: Random, n: int) -> dict[str, Any]:
    """A body with anything in it that a body can hold, in any order."""
    since = BEGIN + timedelta(days=dice.randrange(0, 300))
    methods = [
        {"id": f"pm_{dice.randrange(3)}", "kind": dice.choice(("card", "sepa_debit", "wallet")), "network": _maybe(dice, "visa", "mastercard"),
         "funding": _maybe(dice, "debit"), "country": _maybe(dice, "DE", "us"), "fingerprint": _maybe(dice, "f_1", "f_2")}
        for _ in range(dice.randrange(4))
    ]  # fmt: skip
    attempts = [
        {"id": f"a_{n}_{k}", "at": _instant(dice, since), "trigger": dice.choice(("renewal", "native", "recoup", "customer", "backup")),
         "amount_minor": dice.randrange(0, 9_000), "result": dice.choice(("declined", "declined", "declined", "paid", "pending", "unknown")),
         "method_id": _maybe(dice, "pm_0", "pm_1", "pm_9"), "psp": dice.choice(PSPS), "code": dice.choice(CODES),
         "network_code": dice.choice(CODES), "advice_code": _maybe(dice, "01", "03", "do_not_try_again"), "ref": _maybe(dice, "r"),
         "answered_at": dice.choice((None, _instant(dice, since)))}
        for k in range(dice.randrange(7))
    ]  # fmt: skip
    messages = [
        {"at": _instant(dice, since), "channel": "email", "step": _maybe(dice, "notice"), "id": _maybe(dice, f"m_{n}_{k}"),
         **dice.choice(({}, {"status": "queued"}, {"status": "bounced"}, {"status": "delivered"}))}
        for k in range(dice.randrange(4))
    ]  # fmt: skip
    body: dict[str, Any] = {
        "id": f'c_{n} "\\ ü\n', "merchant_id": "m", "opened_at": _instant(dice, since), "policy": dice.choice(("default@3", "a@b@1", "bare")),
        "debt": {"id": f"in_{n}", "amount_minor": dice.randrange(1, 9_000), "currency": dice.choice(("EUR", "JPY"))},
        "customer": {"id": f"cus_{n % 5}"}, "methods": methods, "attempts": attempts, "messages": messages,
        "something_else": {"that": ["is", "skipped"]},
    }  # fmt: skip
    more: dict[str, Any] = {
        "state": dice.choice(("waiting", "recovered", "lost", "lost_voluntary", "excluded", "disputed")), "closed_at": _instant(dice, since),
        "by": "retry", "action": "cancel", "settled_ref": "s", "surplus_minor": 7, "returns": 2, "queue": "reply", "owner": "anna",
        "promised_at": _instant(dice, since), "given_up_at": _instant(dice, since), "window_ends_at": _instant(dice, since), "hold": {"reason": "dispute"},
        "arms": [{"experiment": "e", "kind": "page", "arm": "b", "share": 0.25}],
    }  # fmt: skip
    body |= {key: value for key, value in more.items() if dice.random() < 0.5}
    debt = {"subscription_id": "sub_1", "due_at": _instant(dice, since), "kind": "first", "interval": "year"}
    body["debt"] |= {key: value for key, value in debt.items() if dice.random() < 0.4}
    customer = {
        "country": "DE",
        "timezone": "Europe/Berlin",
        "tenure_days": 9,
        "mrr_minor": 80,
        "segment": "smb",
        "plan": "pro",
    }
    body["customer"] |= {key: value for key, value in customer.items() if dice.random() < 0.4}
    return body


def _by_duck(bodies: list[str], tmp_path: Path) -> tuple[duckdb.DuckDBPyConnection, tuple[int, int]]:
    path = tmp_path / "it's.lines"
    path.write_text("".join(f"{n}\x01{body}\n" for n, body in enumerate(bodies)), encoding="utf-8")
    duck = duckdb.connect(config={"threads": 1})
    duck.execute("SET TimeZone = 'America/New_York'")
    return duck, lifting.lift(duck, str(path))


def _asked(duck: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...]) -> list[tuple[Cell, ...]]:
    known = dict(duck.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall())
    told = [c.split()[0] for c in columns]
    wanted = ", ".join(f"epoch_us({c})" if known[c] == "TIMESTAMP" else c for c in told)
    return sorted(duck.execute(f"SELECT {wanted} FROM {table}").fetchall(), key=repr)


@pytest.mark.parametrize("kinds", [lifting.KINDS_KEPT, 10])
def test_bodies_are_lifted_as_by_hand(tmp_path: Path, kinds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether attempts are of few kinds, or so many that none is remembered."""
    monkeypatch.setattr(lifting, "KINDS_KEPT", kinds)
    dice = Random(7)
    bodies = [msgspec.json.encode(_life(dice, n)).decode() for n in range(1500)]
    duck, found = _by_duck(bodies, tmp_path)
    assert found == (1500, 0)
    assert lifting.lift(duck, str(tmp_path / "it's.lines")) == found, "the next lot with the same hand"
    by_hand = [lifted(body, n) for n, body in enumerate(bodies)]
    rows: dict[str, tuple[tuple[str, ...], list[tuple[Cell, ...]]]] = {
        "raw_cases": (CASE_COLUMNS, [x.case for x in by_hand]),
        "raw_attempts": (ATTEMPT_COLUMNS, [r for x in by_hand for r in x.attempts]),
        "raw_messages": (MESSAGE_COLUMNS, [r for x in by_hand for r in x.messages]),
        "raw_arms": (ARM_COLUMNS, [r for x in by_hand for r in x.arms]),
    }
    for table, (columns, expected) in rows.items():
        plain = [tuple(None if v == "" else v for v in row) for row in expected]
        assert len(plain) > 100
        told = _asked(duck, table, columns)
        assert len(told) == len(plain), table
        for one, other in zip(told, sorted(plain, key=repr), strict=True):
            differing = {c: (a, b) for c, a, b in zip(columns, one, other, strict=True) if a != b}
            assert not differing, (table, one)


def test_what_cannot_be_read_is_counted_and_left_out(tmp_path: Path) -> None:
    dice = Random(8)
    good = [_life(dice, n) for n in range(5)]
    bad: list[str] = ["", "{", "{}", "[]", "no JSON at all"]
    for spoilt in (
        {"opened_at": "yesterday"},
        {"debt": {"id": "in_1"}},
        {"attempts": [{"id": "a"}]},
        {"messages": [{"at": "x", "channel": "email"}]},
    ):
        bad.append(msgspec.json.encode(_life(dice, 9) | spoilt).decode())  # fmt: skip
    duck, found = _by_duck([*(msgspec.json.encode(g).decode() for g in good), *bad], tmp_path)
    assert found == (5 + len(bad), len(bad))
    assert {r[0] for r in _asked(duck, "raw_cases", CASE_COLUMNS)} == {g["id"] for g in good}
    assert duck.execute("SELECT COUNT(DISTINCT case_id) FROM raw_attempts").fetchall()[0][0] <= 5
