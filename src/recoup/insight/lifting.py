"""Cases' bodies to the columns figures are counted from, in DuckDB: many cases at a time, no loop over them in Python."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

import msgspec

from recoup.domain import facts as f
from recoup.domain.case import OURS
from recoup.domain.codebook import once_never
from recoup.domain.decline import understand
from recoup.domain.view import Method, Trigger
from recoup.insight.reasons import DEBITS, GROUPS, NAMES, OF_A_MANDATE, group_of
from recoup.store.bodies import BETWEEN

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TEXT, _WHOLE = "VARCHAR", "BIGINT"
_BODY: dict[str, object] = {
    "id": _TEXT, "opened_at": _TEXT, "policy": _TEXT, "state": _TEXT, "queue": _TEXT, "owner": _TEXT, "promised_at": _TEXT,
    "closed_at": _TEXT, "by": _TEXT, "settled_ref": _TEXT, "action": _TEXT, "surplus_minor": _WHOLE, "window_ends_at": _TEXT,
    "returns": _WHOLE, "given_up_at": _TEXT, "hold": {"reason": _TEXT},
    "debt": {"id": _TEXT, "amount_minor": _WHOLE, "currency": _TEXT, "subscription_id": _TEXT, "due_at": _TEXT, "kind": _TEXT,
             "interval": _TEXT, "interval_source": _TEXT},
    "customer": {"id": _TEXT, "country": _TEXT, "timezone": _TEXT, "tenure_days": _WHOLE, "mrr_minor": _WHOLE, "segment": _TEXT,
                 "plan": _TEXT},
    "methods": [{"id": _TEXT, "kind": _TEXT, "network": _TEXT, "funding": _TEXT, "country": _TEXT, "fingerprint": _TEXT}],
    "attempts": [{"id": _TEXT, "at": _TEXT, "trigger": _TEXT, "amount_minor": _WHOLE, "result": _TEXT, "method_id": _TEXT,
                  "psp": _TEXT, "code": _TEXT, "network_code": _TEXT, "advice_code": _TEXT, "ref": _TEXT, "answered_at": _TEXT}],
    "messages": [{"id": _TEXT, "at": _TEXT, "channel": _TEXT, "step": _TEXT, "status": _TEXT, "arms": [_TEXT]}],
    "arms": [{"experiment": _TEXT, "kind": _TEXT, "arm": _TEXT, "share": "DOUBLE", "variant": _TEXT}],
}  # fmt: skip
"""Of a case's body only this is looked at; what is missing takes the default the body leaves out."""
_FACT = {"amount_minor": _WHOLE, "by": _TEXT, "ref": _TEXT}


def _among(values: frozenset[Trigger]) -> str:
    return "(" + ", ".join(f"'{v.value}'" for v in sorted(values)) + ")"


_BY_US, _OUR_RETRIES = _among(OURS), _among(frozenset({Trigger.RECOUP, Trigger.BACKUP}))
_TOLD = "('sent', 'delivered', 'opened', 'clicked', 'bounced')"
_SHAPE = msgspec.json.encode(_BODY).decode()


def lines(path: str, columns: str) -> str:
    """A file of lines as `store.bodies` pours them, as a table. `columns` is `name TYPE, ...`."""
    told = ", ".join(f"'{n}': '{t}'" for n, t in (c.split() for c in columns.split(", ")))
    quoted = path.replace("'", "''")
    return (
        f"read_csv('{quoted}', header=false, auto_detect=false, delim='{BETWEEN}', quote='', escape='', nullstr='', "
        f"max_line_size=33554432, columns={{{told}}})"
    )


def _at(text: str) -> str:
    """An instant of a body as a timestamp in UTC; whatever offset it was written with."""
    return f"TRY_CAST({text} AS TIMESTAMP)"


READ = """CREATE OR REPLACE TEMP TABLE body AS
SELECT row_number() OVER () AS k, version, x, {opened} AS opened, {closed} AS closed FROM (
    SELECT version, TRY(json_transform(body, '{shape}')) AS x FROM {lines})"""

GIVEN = """CREATE OR REPLACE TEMP TABLE given AS
SELECT row_number() OVER () AS n, k, nth, m.id AS id, COALESCE(m.kind, 'card') AS kind, NULLIF(m.network, '') AS network,
    NULLIF(m.funding, '') AS funding, NULLIF(m.country, '') AS country, COALESCE(NULLIF(m.fingerprint, ''), m.id) AS identity
FROM (SELECT k, generate_subscripts(x.methods, 1) AS nth, unnest(x.methods) AS m FROM body)
QUALIFY row_number() OVER (PARTITION BY k, id ORDER BY nth DESC) = 1"""

RAIL = """CREATE OR REPLACE TEMP TABLE rail AS
WITH told AS (
    SELECT g.*, UPPER(COALESCE(g.country, NULLIF(b.x.customer.country, ''), '')) AS billed_country,
        row_number() OVER (PARTITION BY g.k ORDER BY nth) = 1 AS first
    FROM given g JOIN body b ON b.k = g.k
    QUALIFY row_number() OVER (PARTITION BY g.k, identity ORDER BY nth) = 1)
SELECT k, identity, identity AS billed_to, kind AS billed_kind, network AS billed_network, billed_country FROM told
WHERE identity IS NOT NULL UNION ALL SELECT k, NULL, identity, kind, network, billed_country FROM told WHERE first"""
"""Whose card a try is billed on, what fees are priced by: the first method given of its card or account, the case's first where it
names none; none where it is of no method here."""

_WORDS = (
    "trigger",
    "result",
    "currency",
    "of_renewal",
    "psp",
    "code",
    "network_code",
    "advice_code",
    "method",
    "network",
    "country",
    "early",
)
"""What is said of a try in words. A merchant's tries are of some hundred kinds, and each is written down by the number of its kind."""
_LEARNT = (*_WORDS, "category", "advice", "mapped", "raw", "mac")
_TRIES = f"""SELECT t.k, t.case_id, told AS nth, a.id AS id, {_at("a.at")} AS tried_at, a.trigger AS trigger, a.amount_minor AS amount_minor, t.currency,
    a.result AS result, NULLIF(a.psp, '') AS psp, NULLIF(a.code, '') AS code, NULLIF(a.network_code, '') AS network_code,
    NULLIF(a.advice_code, '') AS advice_code, NULLIF(a.ref, '') AS ref, {_at("a.answered_at")} AS answered_at, g.n AS given_n,
    g.kind AS method, g.network, g.country, COALESCE(g.identity, NULLIF(a.method_id, '')) AS identity,
    {_at("a.at")} < {{early}} AS early, of_renewal
FROM (SELECT k, x.id AS case_id, x.debt.currency AS currency, COALESCE(x.debt.kind, 'renewal') = 'renewal' AS of_renewal,
    generate_subscripts(x.attempts, 1) AS told, unnest(x.attempts) AS a FROM body {{some}}) t
LEFT JOIN given g ON g.k = t.k AND g.id = a.method_id"""

KINDS_KEPT = 5_000
_FLAGS = ("of_renewal", "early", "mapped")
KNOWN = f"""CREATE TEMP TABLE IF NOT EXISTS meant (n UBIGINT, {", ".join(f"{c} {'BOOLEAN' if c in _FLAGS else 'VARCHAR'}" for c in _LEARNT)})"""

TRIED = f"""CREATE OR REPLACE TEMP TABLE tried AS
SELECT k, case_id, nth, id, tried_at, amount_minor, ref, answered_at, given_n, identity, trigger IS NOT NULL AND result IS NOT NULL AS whole,
    hash({", ".join(_WORDS)}) AS kind FROM ({_TRIES})"""
"""Written down once, and narrow: a table of the width of `_TRIES` costs more than all that is asked of it."""

WORDED = """CREATE OR REPLACE TEMP VIEW worded AS SELECT t.*, m.trigger, m.result FROM tried t JOIN meant m ON m.n = t.kind"""

IN_ORDER = """UPDATE tried SET nth = o.nth FROM (
    SELECT k, nth AS told, row_number() OVER (PARTITION BY k ORDER BY tried_at, nth) AS nth FROM tried) o
WHERE o.k = tried.k AND o.told = tried.nth AND o.nth <> o.told"""
"""Attempts by their instants; nearly all are told in that order."""

UNKNOWN = f"""WITH seen AS (SELECT kind, MIN(k) AS k FROM tried GROUP BY kind),
new AS MATERIALIZED (SELECT kind, k FROM seen WHERE kind NOT IN (SELECT n FROM meant))
SELECT DISTINCT hash({", ".join(_WORDS)}) AS n, {", ".join(_WORDS)} FROM ({_TRIES.replace("{some}", "WHERE k IN (SELECT k FROM new)")})
WHERE n IN (SELECT kind FROM new)"""
"""The kinds that are new among these, in words: one case of each is looked at again."""

SAID = f"""CREATE OR REPLACE TEMP TABLE said AS
SELECT k, case_id, NULLIF(m.id, '') AS id, {_at("m.at")} AS said_at, m.channel AS channel, NULLIF(m.step, '') AS step,
    COALESCE(m.status, 'sent') AS status, NULLIF(array_to_string(m.arms, ' '), '') AS arms, paid
FROM (SELECT k, x.id AS case_id, unnest(x.messages) AS m, CASE WHEN x.state = 'recovered' THEN closed END AS paid FROM body)"""

BROKEN = """CREATE OR REPLACE TEMP TABLE broken AS
SELECT k FROM body WHERE x.id IS NULL OR x.debt.id IS NULL OR x.debt.amount_minor IS NULL OR x.debt.currency IS NULL
    OR x.customer.id IS NULL OR x.policy IS NULL OR opened IS NULL
UNION SELECT k FROM tried WHERE id IS NULL OR tried_at IS NULL OR amount_minor IS NULL OR NOT whole
UNION SELECT k FROM said WHERE said_at IS NULL OR channel IS NULL"""

ALL_WORDS = f"""SELECT DISTINCT unnest([{", ".join(w for w in _LEARNT if w not in _FLAGS)}]) FROM meant
UNION SELECT unnest([billed_kind, billed_network, billed_country]) FROM rail"""

ATTEMPTS = f"""CREATE OR REPLACE TEMP VIEW raw_attempts AS
WITH dead AS (SELECT k, identity, MIN(nth) AS since FROM tried JOIN meant m ON m.n = kind
    WHERE m.advice = 'never' AND identity IS NOT NULL GROUP BY ALL),
kinds AS (SELECT * REPLACE ({{words}}), CAST(CASE WHEN category IS NOT NULL THEN {{reason}} END AS {{word}}) AS reason, trigger IN {_BY_US} AS by_us FROM meant),
rails AS (SELECT k, identity, billed_to, {{rails}} FROM rail)
SELECT t.*, m.* EXCLUDE (n, by_us, country), billed_to, billed_kind, billed_network, billed_country,
    m.by_us AND COALESCE(t.nth > d.since, FALSE) AS after_never
FROM tried t JOIN kinds m ON m.n = t.kind LEFT JOIN dead d ON d.k = t.k AND d.identity = t.identity
    LEFT JOIN rails r ON r.k = t.k AND r.identity IS NOT DISTINCT FROM t.identity"""
"""Words as an enumeration of all there are here: written to a file by their number, which takes a third of the time text takes."""

MESSAGES = """CREATE OR REPLACE TEMP VIEW raw_messages AS SELECT k, case_id, id, said_at AS told_at, channel, step, status, arms,
    COALESCE(epoch_us(paid) - epoch_us(said_at) BETWEEN 0 AND 259200000000, FALSE) AS paid_within_72h FROM said"""

ARMS = """CREATE OR REPLACE TEMP VIEW raw_arms AS
SELECT case_id, a.experiment AS experiment, a.kind AS kind, a.arm AS arm, a.share AS share, NULLIF(a.variant, '') AS variant
FROM (SELECT x.id AS case_id, unnest(x.arms) AS a FROM body)"""

_FIRST_GIVEN = """CASE WHEN len(x.methods) > 0 THEN struct_pack(kind := COALESCE(x.methods[1].kind, 'card'), network := NULLIF(x.methods[1].network, ''),
    funding := NULLIF(x.methods[1].funding, ''), country := NULLIF(x.methods[1].country, '')) END"""
CASES = f"""CREATE OR REPLACE TEMP VIEW raw_cases AS
WITH acted AS (
    SELECT k, tried_at AS acted_at FROM worded WHERE trigger IN {_OUR_RETRIES}
    UNION ALL SELECT k, said_at FROM said WHERE status IN {_TOLD}
), actions AS (
    SELECT a.k, MIN(acted_at) AS first_at, MAX(acted_at) FILTER (closed IS NULL OR acted_at <= closed) AS last_at
    FROM acted a JOIN body b ON b.k = a.k GROUP BY a.k
), tries AS (
    SELECT k, COUNT(*) AS n, COUNT(*) FILTER (trigger IN {_BY_US}) AS ours, MIN(tried_at) AS began,
        BOOL_OR(nth = 1 AND trigger = 'recoup') AS began_by_us, ARG_MIN(kind, nth) FILTER (result = 'declined') AS meaning, ARG_MIN(given_n, nth) AS given_n,
        ARG_MIN(amount_minor, nth) FILTER (result <> 'paid') AS due
    FROM worded GROUP BY k
), paid AS (
    SELECT k, MIN(tried_at) AS paid_at, ARG_MIN(trigger, nth) AS paid_trigger, MIN(nth) AS paid_nth, COUNT(*) AS paid_count,
        SUM(amount_minor) AS collected
    FROM worded WHERE result = 'paid' GROUP BY k
), told AS (SELECT k, COUNT(*) AS n FROM said WHERE status IN {_TOLD} GROUP BY k),
joined AS (
    SELECT b.*, t.* EXCLUDE (k), p.* EXCLUDE (k), m.category, CASE WHEN g.n IS NULL THEN {_FIRST_GIVEN}
            ELSE struct_pack(kind := g.kind, network := g.network, funding := g.funding, country := g.country) END AS way, {_at("x.debt.due_at")} AS due_at,
        a.first_at, a.last_at, COALESCE(s.n, 0) AS messages
    FROM body b LEFT JOIN tries t ON t.k = b.k LEFT JOIN paid p ON p.k = b.k
    LEFT JOIN actions a ON a.k = b.k LEFT JOIN told s ON s.k = b.k
        LEFT JOIN meant m ON m.n = t.meaning LEFT JOIN given g ON g.n = t.given_n
)
SELECT k, x.id AS id, version, x.debt.id AS debt_id, NULLIF(x.debt.subscription_id, '') AS subscription_id, x.customer.id AS customer_id,
    COALESCE(x.state, 'waiting') AS state, NULLIF(x.by, '') AS recovered_by, NULLIF(x.action, '') AS ending, x.debt.currency AS currency,
    COALESCE(due, x.debt.amount_minor) AS due_minor, x.debt.amount_minor AS owed_minor, CAST(COALESCE(collected, 0) AS BIGINT) AS collected_minor,
    COALESCE(x.surplus_minor, 0) AS surplus_minor,
    CASE WHEN n IS NULL THEN LEAST(COALESCE(due_at, opened), opened) WHEN began_by_us AND due_at < began THEN due_at ELSE began END AS t0,
    opened AS opened_at, closed AS closed_at, {_at("x.window_ends_at")} AS window_ends_at, COALESCE(x.debt.kind, 'renewal') AS charge_kind,
    NULLIF(x.debt.interval, '') AS plan_interval, COALESCE(x.debt.interval_source, 'stated') = 'inferred' AS interval_inferred, NULLIF(x.customer.plan, '') AS plan, NULLIF(x.customer.segment, '') AS segment,
    x.customer.mrr_minor AS mrr_minor, x.customer.tenure_days AS tenure_days, NULLIF(x.customer.country, '') AS country,
    NULLIF(x.customer.timezone, '') AS timezone, way.kind AS method, way.network AS network, way.funding AS funding,
    way.country AS method_country, category, {{reason}} AS reason, x.policy AS policy, split_part(x.policy, '@', 1) AS policy_name,
    NULLIF(x.hold.reason, '') AS hold, NULLIF(x.queue, '') AS queue, NULLIF(x.owner, '') AS owner, {_at("x.promised_at")} AS promised_at,
    NULLIF(x.settled_ref, '') AS settled_ref, COALESCE(n, 0) AS attempts, COALESCE(ours, 0) AS our_attempts, messages,
    first_at AS first_action_at, last_at AS last_action_at, paid_at, paid_trigger, paid_nth, COALESCE(paid_count, 0) AS paid_count,
    COALESCE(x.returns, 0) AS returns, {_at("x.given_up_at")} AS given_up_at
FROM joined"""

EVENTS = """CREATE OR REPLACE TEMP TABLE raw_events AS
SELECT case_id, seq, make_timestamp(happened) AS happened_at, kind, x.amount_minor AS amount_minor, COALESCE(x.by, {by}) AS done_by,
    NULLIF(x.ref, '') AS ref
FROM (SELECT seq, happened, kind, case_id, json_transform(body, '{shape}') AS x FROM {lines})"""


def _group(category: str, kind: str) -> str:
    """`reasons.group_of` as an expression."""
    told = {category: group_of(category, None) for category in GROUPS}
    groups = {g: [c for c, of in told.items() if of == g] for g in dict.fromkeys(told.values())}
    arms = " ".join(f"WHEN {category} IN ({_quoted(found)}) THEN '{g}'" for g, found in groups.items())
    return (
        f"CASE WHEN {category} IS NULL THEN 'untold' WHEN {kind} IN ({_quoted(DEBITS)}) AND {category} IN ({_quoted(OF_A_MANDATE)}) "
        f"THEN 'mandate' {arms} ELSE 'generic' END"
    )


def _quoted(values: Iterable[str]) -> str:
    return ", ".join("'" + v.replace("'", "''") + "'" for v in sorted(values))


def lift(duck: "DuckDBPyConnection", path: str) -> tuple[int, int]:
    """Fills `raw_cases`, `raw_attempts`, `raw_messages`, `raw_arms` from a file of `version, body` lines; (read, unreadable).

    A body that cannot be read is counted and left out; `recoup verify` names it.
    """
    read = lines(path, "version BIGINT, body VARCHAR")
    duck.execute(READ.format(shape=_SHAPE, lines=read, opened=_at("x.opened_at"), closed=_at("x.closed_at")))
    duck.execute(KNOWN)
    duck.execute(GIVEN)
    early = f"TIMESTAMP '{_turned()}'"
    duck.execute(TRIED.format(early=early, some=""))
    duck.execute(SAID)
    duck.execute(BROKEN)
    counted = duck.execute("SELECT (SELECT COUNT(*) FROM body), (SELECT COUNT(*) FROM broken)").fetchone()
    found = (int(counted[0]), int(counted[1])) if counted else (0, 0)
    for table in ("body", "given", "tried", "said") if found[1] else ():
        duck.execute(f"DELETE FROM {table} WHERE k IN (SELECT k FROM broken)")
    duck.execute(RAIL)
    duck.execute(IN_ORDER)
    _learn(duck, UNKNOWN.format(early=early))
    duck.execute(WORDED)
    duck.execute(_attempts(duck))
    duck.execute(MESSAGES)
    duck.execute(ARMS)
    duck.execute(CASES.format(reason=_group("category", "way.kind")))
    return found


def lift_events(duck: "DuckDBPyConnection", path: str) -> None:
    """Fills `raw_events` from a file of `seq, at, kind, case_id, body` lines."""
    kinds = {str(k.__struct_config__.tag): k for k in (f.PaidElsewhere, f.MethodUpdated)}
    by = {
        kind: next(x.default for x in msgspec.structs.fields(of) if x.name == "by")
        for kind, of in kinds.items()
    }
    told_by = " ".join(f"WHEN '{kind}' THEN '{value}'" for kind, value in by.items())
    told = lines(path, "seq BIGINT, happened BIGINT, kind VARCHAR, case_id VARCHAR, body VARCHAR")
    duck.execute(
        EVENTS.format(by=f"CASE kind {told_by} END", shape=msgspec.json.encode(_FACT).decode(), lines=told)
    )


def _turned() -> date:
    """The day from which codes mean what they mean today."""
    return date.fromisoformat(once_never()[0])


def _attempts(duck: "DuckDBPyConnection") -> str:
    """The view of attempts, its words an enumeration; plain text where codes are no codes but texts."""
    found = {str(row[0]) for row in duck.execute(ALL_WORDS).fetchall() if row[0] is not None} | set(NAMES)
    word = f"ENUM ({_quoted(found)})" if len(found) <= KINDS_KEPT else "VARCHAR"

    def told(columns: Iterable[str], form: str) -> str:
        return ", ".join(form.format(c=c, word=word) for c in columns)

    return ATTEMPTS.format(
        words=told((c for c in _LEARNT if c not in _FLAGS), "CAST({c} AS {word}) AS {c}"), word=word,
        rails=told(("billed_kind", "billed_network", "billed_country"), "CAST({c} AS {word}) AS {c}"), reason=_group("category", "method"),
    )  # fmt: skip


def _learn(duck: "DuckDBPyConnection", unknown: str) -> None:
    """What each new kind of try means, asked of the house once; where codes are no codes but texts, afresh for each lot."""
    duck.execute(f"DELETE FROM meant WHERE (SELECT COUNT(*) FROM meant) > {KINDS_KEPT}")
    rows = [(*kind, *_understood(*kind[1:])) for kind in duck.execute(unknown).fetchall()]
    for begin in range(0, len(rows), 1000):
        some = rows[begin : begin + 1000]
        places = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
        duck.execute(f"INSERT INTO meant VALUES {places}", [value for row in some for value in row])


def _understood(
    _trigger: str | None, result: str | None, _currency: str | None, _of_renewal: bool, psp: str | None, code: str | None,
    network_code: str | None, advice_code: str | None, kind: str | None, network: str | None, country: str | None, early: bool,
) -> tuple[str | None, str | None, bool, str | None, str | None]:  # fmt: skip
    if result != "declined":
        return None, None, True, None, None
    method = None if kind is None else msgspec.convert(
        {"id": "m", "kind": kind, "network": network, "country": country}, Method
    )  # fmt: skip
    day = _turned() - timedelta(days=1) if early else _turned()
    refused = Refused(psp=psp, code=code, network_code=network_code, advice_code=advice_code)
    told = understand(refused, method, on=day)
    return told.category, told.advice, told.mapped, told.raw, told.mac


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The codes of one refusal."""

    psp: str | None
    code: str | None
    network_code: str | None
    advice_code: str | None
