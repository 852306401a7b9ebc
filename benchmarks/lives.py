"""A merchant's years by the hundred thousand: cases with lives like real ones, written by sets, never one by one."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from recoup.domain.instants import to_micros
from recoup.store.engines import writing
from recoup.store.tables import attempts, cases, customers, facts, inbox, outbox

DAY = 86_400_000_000
FETCHED = 20_000
SLICE = 100_000

_CODES = """CASE WHEN kind = 'sepa_debit' THEN CASE reason WHEN 'funds' THEN 'AM04' WHEN 'hard' THEN 'AC04' WHEN 'credential' THEN 'AC01'
    WHEN 'auth' THEN 'MD01' ELSE 'MS03' END
  ELSE CASE reason WHEN 'funds' THEN '51' WHEN 'generic' THEN '05' WHEN 'credential' THEN '54' WHEN 'auth' THEN '1A'
    WHEN 'technical' THEN '96' ELSE '43' END END"""

_LIVES = """
CREATE TABLE lives AS
WITH dice AS (
    SELECT i, hash(i, 1) % 1000 AS d1, hash(i, 2) % 1000 AS d2, hash(i, 3) % 1000 AS d3, hash(i, 4) % 1000 AS d4, hash(i, 5) % 1000 AS d5,
        (hash(i, 6) % 1000000 + 1) / 1000000.0 AS u, hash(i, 7) % 1000 AS d7, hash(i, 8) % 1000 AS d8,
        {now} - CAST(365.0 * {day} * (i + 0.5) / {n} AS BIGINT) AS t0
    FROM range({n}) r(i)
), told AS (
    SELECT *, CASE WHEN d1 < 450 THEN 'funds' WHEN d1 < 690 THEN 'generic' WHEN d1 < 790 THEN 'credential' WHEN d1 < 870 THEN 'auth'
            WHEN d1 < 920 THEN 'technical' ELSE 'hard' END AS reason,
        CASE WHEN d2 < 130 THEN 'sepa_debit' ELSE 'card' END AS kind,
        CASE WHEN d2 < 130 THEN NULL WHEN d2 < 560 THEN 'visa' WHEN d2 < 940 THEN 'mastercard' ELSE 'amex' END AS network,
        (['DE', 'FR', 'US', 'GB', 'NL', 'ES', 'IT', 'AT', 'PL', 'SE'])[CAST(1 + d3 * d3 // 100000 AS BIGINT)] AS country,
        CASE WHEN d3 < 450 THEN 'EUR' WHEN d3 < 560 THEN 'USD' ELSE 'EUR' END AS currency,
        ([900, 1900, 2900, 4900, 9900, 24900])[CAST(1 + d4 // 167 AS BIGINT)] * CASE WHEN d5 < 120 THEN 10 ELSE 1 END AS amount,
        CASE WHEN d5 < 120 THEN 'year' ELSE 'month' END AS every, i % (CAST({n} * 0.55 AS BIGINT) + 1) AS who
    FROM dice
), ended AS (
    SELECT *, d7 < CASE reason WHEN 'funds' THEN 670 WHEN 'generic' THEN 600 WHEN 'credential' THEN 520 WHEN 'auth' THEN 560
            WHEN 'technical' THEN 850 ELSE 240 END AS back, d7 >= 955 AS walked
    FROM told
), timed AS (
    SELECT *, t0 + CAST(CASE WHEN back OR walked THEN LEAST(27.5, 0.2 - 6.5 * ln(u)) ELSE 28.0 END * {day} AS BIGINT) AS until
    FROM ended
)
SELECT *, until >= {now} AS still, {codes} AS code,
    CASE WHEN NOT back THEN NULL WHEN d8 < 620 THEN 'retry' WHEN d8 < 940 THEN 'customer' ELSE 'elsewhere' END AS paid_by,
    list_filter([0.0, 1.0, 3.0, 5.0, 8.0, 12.0, 17.0, 23.0], lambda x: t0 + CAST(x * {day} AS BIGINT) < LEAST(until, {now})) AS tries,
    list_filter([0.2, 3.1, 7.2, 14.3], lambda x: t0 + CAST(x * {day} AS BIGINT) < LEAST(until, {now})) AS told
FROM timed"""

_AT = "strftime(make_timestamp({0}), '%Y-%m-%dT%H:%M:%SZ')"
_TRY = """'{{"id":"a_' || i || '_' || k || '","at":"' || {at} || '","trigger":"' || trigger || '","amount_minor":' || amount || ',"result":"' || result
    || '","method_id":"pm_' || who || '","psp":"generic","code":null,"network_code":' || code || ',"advice_code":null,"ref":"r_' || i || '_' || k
    || '","answered_at":null,"propensity":null}}'"""

_TRIES = """CREATE TABLE tries AS
SELECT i, k, who, tried_at, amount, currency, network, trigger, result, CASE WHEN result = 'paid' THEN NULL ELSE code END AS code FROM (
    SELECT i, generate_subscripts(tries, 1) - 1 AS k, who, t0 + CAST(unnest(tries) * {day} AS BIGINT) AS tried_at, amount, currency, network, code,
        'declined' AS result, CASE WHEN k = 0 THEN 'renewal' ELSE 'recoup' END AS trigger FROM lives
    UNION ALL
    SELECT i, len(tries), who, until, amount, currency, network, code, 'paid', CASE paid_by WHEN 'retry' THEN 'recoup' ELSE 'customer' END
    FROM lives WHERE NOT still AND paid_by IN ('retry', 'customer'))"""

_BODIES = """
SELECT 'c_' || i AS id, l.*, CASE WHEN still THEN 'waiting' WHEN back THEN 'recovered' WHEN walked THEN 'lost_voluntary' ELSE 'lost' END AS state,
    '{{"id":"c_' || i || '","merchant_id":"{merchant}","debt":{{"id":"in_' || i || '","amount_minor":' || amount || ',"currency":"' || currency
    || '","subscription_id":"sub_' || who || '","due_at":"' || {t0} || '","interval":"' || every || '"}},"customer":{{"id":"cus_' || who
    || '","country":"' || country || '","timezone":"Europe/Berlin","tenure_days":' || (who % 900) || ',"mrr_minor":' || amount // CASE every WHEN 'year' THEN 12 ELSE 1 END
    || '}},"methods":[{{"id":"pm_' || who || '","kind":"' || kind || '"' || COALESCE(',"network":"' || network || '"', '')
    || ',"funding":"debit","country":"' || country || '","fingerprint":"f_' || who || '"}}],"attempts":[' || a.tried || '],"opened_at":"' || {t0}
    || '","policy":"schedule@1","version":' || len(tries) * 2 + 2 || ',"messages":[' || COALESCE(array_to_string(list_transform(told, lambda x, n: '{{"at":"'
    || strftime(make_timestamp(t0 + CAST(x * {day} AS BIGINT)), '%Y-%m-%dT%H:%M:%SZ') || '","channel":"email","step":"notice","status":"delivered","id":"c_'
    || i || ':' || n || '"}}'), ','), '') || ']' || CASE WHEN still THEN ',"next_action_at":"' || {soon} || '"' ELSE ',"closed_at":"' || {until} || '"' END
    || CASE WHEN still THEN '' WHEN back THEN ',"state":"recovered","by":"' || paid_by || '"' WHEN walked THEN ',"state":"lost_voluntary"'
        ELSE ',"state":"lost","action":"cancel"' END
    || CASE WHEN i < {n} / 2 THEN ',"arms":[{{"experiment":"message-holdout","kind":"messages","arm":"' || CASE WHEN who % 20 = 0
        THEN 'none","share":0.05,"variant":"withhold"' ELSE 'all","share":0.95' END || '}}]' ELSE '' END
    || ',"window_ends_at":"' || {window} || '"}}' AS body
FROM life l JOIN (SELECT i, string_agg({tried}, ',' ORDER BY k) AS tried FROM try GROUP BY i) a USING (i)"""


def fill(engine: Engine, merchant_id: str, n: int, now: datetime, scratch: Path) -> int:
    """Writes `n` cases over the last year with about five attempts each, customers, messages, webhooks and the facts that
    figures ask for; their attempts. Indexes are dropped meanwhile, and statistics made at the end."""
    duck = duckdb.connect(
        str(scratch / "lives.duckdb"), config={"memory_limit": "2GB", "temp_directory": str(scratch)}
    )
    at, micros = now.replace(microsecond=0), to_micros(now.replace(microsecond=0))
    duck.execute(_LIVES.format(now=micros, day=DAY, n=n, codes=_CODES))
    duck.execute(_TRIES.format(day=DAY))
    bytea = "'\\x' || hex(t)" if engine.dialect.name == "postgresql" else "encode(t)"
    duck.execute(f"CREATE MACRO as_bytes(t) AS {bytea}")
    with writing(engine) as tx:
        tables = (cases, attempts, facts, customers, outbox, inbox)
        indexes = [index for table in tables for index in table.indexes]
        for index in indexes:
            index.drop(tx)
        for begin in range(0, n, SLICE):
            for view, of in (("life", "lives"), ("try", "tries")):
                duck.execute(
                    f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM {of} WHERE i BETWEEN {begin} AND {begin + SLICE - 1}"
                )
            for table, columns, query in _rows(merchant_id, micros, n):
                if table is not customers or begin == 0:
                    _insert(tx, table.name, columns, duck, query, scratch)
        for index in indexes:
            index.create(tx)
    made = duck.execute("SELECT count(*) FROM tries").fetchall()[0][0]
    duck.close()
    (scratch / "lives.duckdb").unlink()
    _settle(engine)
    assert at <= now
    return int(made)


Filled = tuple[sa.Table, Sequence[str], str]


def _rows(merchant: str, now: int, n: int) -> Iterator[Filled]:
    """Each table, its columns, and the query that fills them, the merchant first."""
    yield _cases(merchant, now, n)
    for table in (_attempts, _facts, _customers, _outbox, _inbox):
        yield table(merchant, now)


def _cases(merchant: str, now: int, n: int) -> Filled:
    at = {
        "t0": _AT.format("t0"),
        "until": _AT.format("until"),
        "soon": _AT.format(now + DAY),
        "window": _AT.format(f"t0 + 28 * {DAY}"),
    }
    tried = _TRY.format(at=_AT.format("tried_at")).replace(
        "' || code ||", "' || COALESCE('\"' || code || '\"', 'null') ||"
    )
    bodies = _BODIES.format(merchant=merchant, day=DAY, n=n, tried=tried, **at)
    return (
        cases,
        (
            "merchant_id",
            "id",
            "debt_id",
            "customer_id",
            "subscription_id",
            "state",
            "amount_minor",
            "currency",
            "category",
            "policy",
            "opened_at",
            "closed_at",
            "recovered_by",
            "queue",
            "next_action_at",
            "surplus_minor",
            "version",
            "body",
        ),
        f"""
        SELECT '{merchant}', id, 'in_' || i, 'cus_' || who, 'sub_' || who, state, amount, currency,
            CASE reason WHEN 'funds' THEN 'insufficient_funds' WHEN 'credential' THEN 'expired_card' WHEN 'auth' THEN 'authentication_required'
                WHEN 'technical' THEN 'technical' WHEN 'hard' THEN 'lost_or_stolen' ELSE 'generic_soft' END,
            'schedule@1', t0, CASE WHEN still THEN NULL ELSE until END, CASE WHEN still THEN NULL ELSE paid_by END,
            CASE WHEN still AND d4 < 20 THEN 'reply' WHEN still AND d4 < 30 THEN 'high_value' END, CASE WHEN still THEN {now + DAY} END,
            0, len(tries) * 2 + 2, body FROM ({bodies})""",
    )


def _attempts(merchant: str, _now: int) -> Filled:
    return (
        attempts,
        (
            "merchant_id",
            "case_id",
            "id",
            "identity",
            "network",
            "at",
            "trigger",
            "amount_minor",
            "currency",
            "result",
            "psp",
            "network_code",
            "ref",
        ),
        f"""
        SELECT '{merchant}', 'c_' || i, 'a_' || i || '_' || k, 'f_' || who, network, tried_at, trigger, amount, currency, result, 'generic', code,
            'r_' || i || '_' || k FROM try""",
    )


def _facts(merchant: str, _now: int) -> Filled:
    at = {name: _AT.format(name) for name in ("t0", "until")}
    return (
        facts,
        ("merchant_id", "case_id", "seq", "at", "kind", "actor", "body"),
        f"""
        SELECT '{merchant}', 'c_' || i, 1, t0, 'noted', 'engine', '{{"kind":"noted","at":"' || {at["t0"]} || '","actor":"engine","text":"opened"}}' FROM life
        UNION ALL SELECT '{merchant}', 'c_' || i, 2, until, 'method_updated', 'customer', '{{"kind":"method_updated","at":"' || {at["until"]}
            || '","actor":"customer","method":{{"id":"pm_' || who || '_2"}}}}' FROM life WHERE paid_by = 'customer' AND NOT still
        UNION ALL SELECT '{merchant}', 'c_' || i, 2, until, 'paid_elsewhere', 'provider:generic', '{{"kind":"paid_elsewhere","at":"' || {at["until"]}
            || '","actor":"provider:generic","amount_minor":' || amount || '}}' FROM life WHERE paid_by = 'elsewhere' AND NOT still
        UNION ALL SELECT '{merchant}', 'c_' || i, 3, until + {DAY}, 'refunded', 'provider:generic', '{{"kind":"refunded","at":"' || {at["until"]}
            || '","actor":"provider:generic","amount_minor":' || amount || '}}' FROM life WHERE back AND NOT still AND d5 > 985""",
    )


def _customers(merchant: str, now: int) -> Filled:
    return (
        customers,
        ("merchant_id", "id", "email", "name", "country", "updated_at"),
        f"""
        SELECT '{merchant}', 'cus_' || who, 'someone' || who || '@example.com', 'Someone ' || who, ANY_VALUE(country), {now} FROM lives GROUP BY who""",
    )


def _outbox(merchant: str, _now: int) -> Filled:
    return (
        outbox,
        (
            "merchant_id",
            "once_key",
            "kind",
            "case_id",
            "customer_id",
            "step",
            "channel",
            "created_at",
            "status",
            "done_at",
        ),
        f"""
        SELECT '{merchant}', 'c_' || i || ':' || n, 'message', 'c_' || i, 'cus_' || who, 'notice', 'email', said_at, 'sent', said_at FROM (
            SELECT i, who, generate_subscripts(told, 1) AS n, t0 + CAST(unnest(told) * {DAY} AS BIGINT) AS said_at FROM life)""",
    )


def _inbox(merchant: str, _now: int) -> Filled:
    return (
        inbox,
        ("merchant_id", "event_id", "psp", "received_at", "raw", "status", "tries", "debt_id"),
        f"""
        SELECT '{merchant}', 'evt_' || i, 'generic', t0, as_bytes('{{"type":"payment.failed"}}'), 'done', 1, 'in_' || i FROM life""",
    )


def _insert(
    tx: Connection,
    table: str,
    columns: Sequence[str],
    duck: duckdb.DuckDBPyConnection,
    query: str,
    scratch: Path,
) -> None:
    """The rows of a query into a table: COPY on PostgreSQL, one prepared statement on SQLite."""
    raw: Any = tx.connection.dbapi_connection
    names = ", ".join(columns)
    if tx.dialect.name == "postgresql":
        path = scratch / "rows.csv"
        duck.execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER false)")
        with (
            path.open("rb") as file,
            raw.cursor() as cursor,
            cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv)") as copy,
        ):
            while block := file.read(1 << 20):
                copy.write(block)
        path.unlink()
        return
    found = duck.execute(query)
    statement = f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"
    while rows := found.fetchmany(FETCHED):
        raw.executemany(statement, rows)


def _settle(engine: Engine) -> None:
    """Statistics, as a database in use has them."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.execute("VACUUM ANALYZE" if connection.dialect.name == "postgresql" else "ANALYZE")


def move(engine: Engine, merchant_id: str, n: int) -> int:
    """One case in a hundred goes on, the youngest, as in life; how many."""
    ids = (
        sa.select(cases.c.id)
        .where(cases.c.merchant_id == merchant_id)
        .order_by(cases.c.opened_at.desc())
        .limit(n // 100)
    )
    with writing(engine) as tx:
        mine = sa.and_(cases.c.merchant_id == merchant_id, cases.c.id.in_(ids.scalar_subquery()))
        return int(tx.execute(cases.update().where(mine).values(version=cases.c.version + 1)).rowcount)
