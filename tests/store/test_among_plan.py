"""SQLite goes from key to key through an index where many keys are asked for at once."""

from typing import Any

import sqlalchemy as sa

from recoup.store import overview, queues
from recoup.store.among import among, of_merchant
from recoup.store.engines import open_engine, reading
from recoup.store.migrate import upgrade
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
