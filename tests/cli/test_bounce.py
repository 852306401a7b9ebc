"""`recoup bounce`: what a mail server pipes in is kept for the merchant whose letter it is about."""

import json
from datetime import UTC, datetime

import sqlalchemy as sa

from recoup.store import boxes
from recoup.store.boxes import OutItem, mark_of
from recoup.store.engines import open_engine, reading, writing
from recoup.store.tables import inbox
from tests.cli.commands import Desk
from tests.fakes.returned_mail import notice, on_holiday

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_what_is_piped_in(desk: Desk) -> None:
    desk.done("migrate")
    merchant = json.loads(desk.done("merchant", "add", "acme", "--psp", "sandbox"))["merchant"]
    engine = open_engine(desk.env["RECOUP_DATABASE_URL"])
    letter = OutItem(
        merchant_id=merchant, once_key="c_1:soft_notice", kind="message", case_id="c_1", created_at=AT, status="sent"
    )  # fmt: skip
    with writing(engine) as tx:
        boxes.put(tx, [letter])
    ours = mark_of(merchant, "c_1:soft_notice")
    for _ in range(2):
        kept = desk.run("bounce", stdin=notice(ours))
        assert (kept.returncode, kept.stdout) == (
            0,
            f"bounced; kept for {merchant}, the worker takes it in\n",
        )
    assert "no letter of ours" in desk.done("bounce", stdin=notice("f" * 40))
    assert "neither a bounce nor a complaint" in desk.done("bounce", stdin=on_holiday(ours))
    assert desk.run("bounce", stdin=b"").returncode == 0
    by_address = notice("x", encloses="", came_to="postmaster@acme.example")
    assert "kept for" in desk.done("bounce", "--to", f"bounces+{ours}@acme.example", stdin=by_address)
    with reading(engine) as tx:
        rows = tx.execute(sa.select(inbox.c.merchant_id, inbox.c.psp)).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [(merchant, "mail:dsn")] * 2


def test_a_database_that_is_away_is_told_to_the_mail_server(small_desk: Desk) -> None:
    small_desk.env["RECOUP_DATABASE_URL"] = "postgresql://u:hush@127.0.0.1:9/x"
    ended = small_desk.run("bounce", "--to", "bounces@acme.example", stdin=notice("f" * 40))
    assert ended.returncode == 3
    assert "hush" not in ended.stderr
