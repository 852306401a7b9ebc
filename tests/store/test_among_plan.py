"""SQLite goes from key to key through an index where many keys are asked for at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from recoup.store import boxes, overview, queues
from recoup.store.among import among, of_merchant
from recoup.store.engines import open_engine, reading, writing
from recoup.store.migrate import upgrade
from recoup.store.overview import Filters
from recoup.store.tables import attempts, cases


def _plan(url: str, query: sa.Select[tuple[str]]) -> str:
    engine = open_engine(url)
    upgrade(engine)
    text = str(query.compile(engine))
    with reading(engine) as tx:
        rows = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("m", '["f_1"]')).fetchall()
    engine.dispose()
    return "; ".join(str(r[-1]) for r in rows)


def test_a_cards_attempts_are_found_by_their_index(sqlite_url: str) -> None:
    query = sa.select(attempts.c.id).where(of_merchant("m", attempts.c.identity, "many"))
    assert "ix_attempts_identity (merchant_id=? AND identity=?" in _plan(sqlite_url, query)


def test_cases_are_found_by_their_key(sqlite_url: str) -> None:
    query = sa.select(cases.c.body).where(cases.c.merchant_id == "m", among(cases.c.id, "many"))
    assert "(merchant_id=? AND id=?" in _plan(sqlite_url, query)


def test_queues_never_read_what_is_over(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    upgrade(engine)
    asked: list[tuple[str, Any]] = []
    sa.event.listen(
        engine, "before_cursor_execute", lambda _c, _k, text, values, *_: asked.append((text, values))
    )
    with reading(engine) as tx:
        queues.counts(tx, "m")
        for name in ("decide", "needs_card", "high_value"):
            queues.waiting(tx, "m", name)
        overview.waiting(tx, "m")
        told = [(text, values) for text, values in asked if "FROM cases" in text]
        assert len(told) > 6
        for text, values in told:
            plan = "; ".join(str(r[-1]) for r in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values))
            assert "ix_cases_closed" not in plan, (text, plan)
            assert "SCAN cases" not in plan, (text, plan)
            assert "uq_cases_open_debt" in plan or "ix_cases_surplus" in plan or "ix_cases_queue" in plan, (
                text,
                plan,
            )
    engine.dispose()


MILLION = (
    ("ix_cases_listed", "1000000 1000000 1 1"), ("ix_cases_debt", "1000000 1000000 1"), ("ix_cases_customer", "1000000 1000000 2"),
    ("ix_cases_queue", "1179 1179 590"), ("ix_cases_closed", "961122 961122 1"), ("ix_cases_subscription", "1000000 1000000 2"),
    ("ix_cases_due", "38878 38878 38878"), ("uq_cases_open_debt", "38878 38878 1"), ("sqlite_autoindex_cases_1", "1000000 1000000 1"),
)  # fmt: skip
"""What SQLite knows of a million cases of one merchant, an index added since not among it."""


def _of_a_million(url: str) -> Engine:
    """An empty database whose planner thinks of a million cases."""
    engine = open_engine(url)
    upgrade(engine)
    with writing(engine) as tx:
        tx.exec_driver_sql("ANALYZE")
        tx.exec_driver_sql("DELETE FROM sqlite_stat1")
        for index, told in MILLION:
            tx.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES ('cases', ?, ?)", (index, told))
    engine.dispose()  # a connection reads them as it opens
    return engine


@pytest.mark.parametrize(
    ("asked", "ways"),
    [
        (Filters(category="revoked_authorisation"), {"uq_cases_open_debt", "ix_cases_over_category"}),
        (Filters(category="lost_or_stolen", state="lost"), {"ix_cases_over_category"}),
        (Filters(currency="JPY", state="open"), {"uq_cases_open_debt"}),
        (Filters(state="unknown"), {"uq_cases_open_debt"}),
        (Filters(queue="reply"), {"ix_cases_queue"}),
    ],
)
def test_a_filter_that_hardly_any_case_fits_reads_few(
    sqlite_url: str, asked: Filters, ways: set[str]
) -> None:
    engine = _of_a_million(sqlite_url)
    told: list[tuple[str, Any]] = []
    sa.event.listen(
        engine, "before_cursor_execute", lambda _c, _k, text, values, *_: told.append((text, values))
    )
    with reading(engine) as tx:
        overview.listed(tx, "m", asked)
        overview.counted(tx, "m", asked)
        plans = [
            "; ".join(str(r[-1]) for r in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values))
            for text, values in tuple(told)
            if "FROM cases" in text
        ]
    engine.dispose()
    assert len(plans) == 2 * len(ways)
    for plan in plans:
        assert any(way in plan for way in ways), plan


def test_the_months_totals_read_that_month_alone(sqlite_url: str) -> None:
    engine = _of_a_million(sqlite_url)
    told: list[tuple[str, Any]] = []
    sa.event.listen(
        engine, "before_cursor_execute", lambda _c, _k, text, values, *_: told.append((text, values))
    )
    now = datetime(2026, 11, 2, tzinfo=UTC)
    with reading(engine) as tx:
        overview.totals(tx, "m", now - timedelta(days=30), now)
        plans = [
            "; ".join(str(r[-1]) for r in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values))
            for text, values in tuple(told)
            if "FROM cases" in text
        ]
    engine.dispose()
    ways = ("ix_cases_listed", "ix_cases_closed", "uq_cases_open_debt")
    assert [way in plan for way, plan in zip(ways, plans, strict=True)] == [True] * 3, plans


def test_messages_are_taken_in_the_order_of_their_index(database_url: str) -> None:
    """After an outage all that wait are due at one instant: to take a hundred must not sort them all."""
    engine = open_engine(database_url)
    upgrade(engine)
    told: list[tuple[str, Any]] = []
    sa.event.listen(
        engine, "before_cursor_execute", lambda _c, _k, text, values, *_: told.append((text, values))
    )
    now = datetime(2026, 11, 2, tzinfo=UTC)
    items = [
        boxes.OutItem(
            merchant_id="m", once_key=f"c_{n}:notice", kind="message", case_id=f"c_{n}", created_at=now, next_try_at=now
        )
        for n in range(10_000)
    ]  # fmt: skip
    explain = "EXPLAIN QUERY PLAN" if database_url.startswith("sqlite") else "EXPLAIN"
    with writing(engine) as tx:
        boxes.put(tx, items)
        boxes.take(tx, "m", now, worker="w", live=["w"], limit=100)
        (asked,) = [each for each in told if "FROM outbox" in each[0]]
        plan = "; ".join(str(r[-1]) for r in tx.exec_driver_sql(f"{explain} {asked[0]}", asked[1]))
    engine.dispose()
    assert "ix_outbox_due" in plan
    assert "TEMP B-TREE" not in plan, plan
    assert "Sort" not in plan, plan
