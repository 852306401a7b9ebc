"""The fees of every attempt of a merchant, as one question to the extract: the arithmetic of `decide.fees`, set by set.

A try belongs to the lane of its card or account, in the order of time; only lanes that can cost anything are walked.
The text is made from the rules table, so that a changed row changes both ledgers.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache

import msgspec

from recoup.decide.caps import BANK_DEBITS
from recoup.decide.fees import HINTS, RETURNED, price_days, priced_by_amount
from recoup.decide.rulebook import ALWAYS, Rule, rule
from recoup.domain.winning_code import EUROPE, network_name
from recoup.insight.frame import Frame

_BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
REATTEMPTS = ("VISA-CAT2", "VISA-CAT3-REATTEMPT", "VISA-CAT4")


class Lines(msgspec.Struct, frozen=True):
    """So many fees of one rule that have one price."""

    network: str
    rule: str
    month: str
    day: date
    """The first such day; all of them lie between the same two changes of prices."""
    country: str
    currency: str
    amount_minor: int | None
    """The amount of the attempts, where the price may depend on it."""
    policy: str | None
    """The policy of the cases, where the price is the merchant's own."""
    n: int


def fee_lines(frame: Frame) -> list[Lines]:
    """Every fee of every attempt, counted by what its price depends on."""
    asked = _asked(frame)
    return frame.rows(asked, kind=Lines) if asked else []


def counted(frame: Frame) -> bool:
    """Whether `fee_lines` answers at once: it goes through every attempt, which takes seconds for a million cases."""
    return frame.knows(METHODS) and (not (asked := _asked(frame)) or frame.knows(asked))


METHODS = "SELECT DISTINCT billed_kind AS kind, billed_network AS network FROM attempts WHERE billed_kind IS NOT NULL"


def _asked(frame: Frame) -> str:
    """The question for the methods of this merchant; empty where attempts are of none."""
    methods = frame.dicts(METHODS)
    rails = [(str(m["kind"]), m["network"], rail_of(str(m["kind"]), m["network"])) for m in methods]
    told = ", ".join(f"({_text(kind)}, {_text(network)}, {_text(rail)})" for kind, network, rail in rails)
    return question().replace("{rails}", told) if rails else ""


def rail_of(kind: str, network: object) -> str:
    """What a method is counted and priced by: the kind of a bank debit, else the card's network."""
    return kind if kind in BANK_DEBITS else network_name(None if network is None else str(network))


@cache
def question() -> str:
    """The text; `{rails}` stands for the rails the merchant's methods are on."""
    shares = [
        f"l.rule = '{r}' AND l.currency IN ({_among(where)})" for r, where in priced_by_amount().items()
    ]
    era = " + ".join(f"CAST(l.day >= {_day(on)} AS INTEGER)" for on in price_days())
    return f"""
        {_tries()}, {_lanes()}, {_visa()}, {_mastercard()}, lines AS (
            SELECT case_n, rail, rule, month, day, country, currency, amount_minor FROM stopped
            UNION ALL SELECT case_n, rail, rule, month, day, country, currency, amount_minor FROM repeated
            UNION ALL SELECT case_n, rail, rule, month, day, country, currency, amount_minor FROM declined WHERE rule IS NOT NULL
            UNION ALL SELECT case_n, rail, 'MC-TPE-MAC', month, day, country, currency, amount_minor FROM declined WHERE against
            UNION ALL SELECT case_n, rail, 'MC-AUTH-OPTIMIZER', month, day, country, currency, amount_minor FROM tries
                WHERE rail = 'mastercard' AND mac IN ({_among(HINTS)}) AND raw = '51'
            UNION ALL SELECT case_n, rail, '{RETURNED}', month, day, country, currency, amount_minor FROM tries
                WHERE rail IN ({_among(BANK_DEBITS)}) AND refused
        )
        SELECT network, rule, month, MIN(day) AS day, country, currency, amount_minor, policy, COUNT(*) AS n FROM (
            SELECT l.rail AS network, l.rule AS rule, l.month, l.day, l.country, l.currency, {era} AS era,
                CASE WHEN {" OR ".join(shares)} THEN l.amount_minor END AS amount_minor,
                CASE WHEN l.rule = '{RETURNED}' THEN c.policy END AS policy
            FROM lines l LEFT JOIN cases c ON l.rule = '{RETURNED}' AND c.case_n = l.case_n)
        GROUP BY network, rule, month, era, country, currency, amount_minor, policy ORDER BY ALL"""


def _tries() -> str:
    """Every attempt; `never` and `stop`: from which day the code of its refusal forbids another."""
    return f"""WITH rails(kind, network, rail) AS (VALUES {{rails}}),
        tries AS (
            SELECT a.case_n, a.nth, epoch_us(a.tried_at) AS us, CAST(a.tried_at AS DATE) AS day, a.month, a.amount_minor, a.currency,
                a.result = 'paid' AS paid, a.result = 'declined' AS refused, a.raw, a.mac, a.identity, a.billed_to, COALESCE(a.billed_country, '') AS country, r.rail,
                {_since(rule("VISA-CAT1"))} AS never, {_since(rule("VISA-VSPS"))} AS stop,
                COALESCE(ltrim(a.mac, '0') IN ({_among(rule("MC-TPE-MAC").codes)}), FALSE) AS advised
            FROM attempts a LEFT JOIN rails r ON r.kind = a.billed_kind AND r.network IS NOT DISTINCT FROM a.billed_network
        )"""


def _lanes() -> str:
    """Tries by card, in order. Who names no method counts on every card of its case, and there only: such cases have
    lanes of their own (`alone`), with what others tried on the card beside it."""
    least = min(_least(rule(r)) for r in (*REATTEMPTS, "MC-TPE-24H", "MC-TPE-30D", "ELO-RETRY"))
    return f"""loose AS (SELECT DISTINCT case_n FROM tries WHERE identity IS NULL AND billed_to IS NOT NULL),
        pairs AS (SELECT DISTINCT t.case_n, t.billed_to FROM tries t JOIN loose l ON l.case_n = t.case_n WHERE t.billed_to IS NOT NULL),
        lanes AS (
            SELECT t.identity AS lane, CAST(-1 AS BIGINT) AS alone, t.*, t.billed_to IS NOT NULL AND l.case_n IS NULL AS bills
            FROM tries t LEFT JOIN loose l ON l.case_n = t.case_n WHERE t.identity IS NOT NULL
            UNION ALL SELECT p.billed_to, p.case_n, t.*, t.case_n = p.case_n AND t.billed_to IS NOT NULL
            FROM pairs p JOIN tries t ON t.identity = p.billed_to
            UNION ALL SELECT p.billed_to, p.case_n, t.*, t.billed_to = p.billed_to
            FROM pairs p JOIN tries t ON t.case_n = p.case_n AND t.identity IS NULL
        ),
        busy AS (
            SELECT lane, alone FROM lanes GROUP BY lane, alone
            HAVING bool_or(bills) AND (COUNT(*) > {least} OR COUNT(*) > 1 AND (COUNT(never) + COUNT(stop) > 0 OR bool_or(advised)))
        ),
        placed AS (
            SELECT l.*, row_number() OVER (PARTITION BY l.lane, l.alone ORDER BY l.us, l.case_n, l.nth) AS place
            FROM lanes l JOIN busy b ON b.lane = l.lane AND b.alone = l.alone
        ),
        runs AS (
            SELECT *, LAG(us) OVER w AS before_us, LAG(paid) OVER w AS before_paid,
                COALESCE(SUM(CAST(paid AS INTEGER)) OVER (PARTITION BY lane, alone ORDER BY place {_BEFORE}), 0) AS run
            FROM placed WINDOW w AS (PARTITION BY lane, alone ORDER BY place)
        )"""


def _visa() -> str:
    """Tries after a code that forbids them, and those beyond a count; an approval begins anew."""
    stop, never, elo = rule("VISA-VSPS"), rule("VISA-CAT1"), rule("ELO-RETRY")
    spans = {rule(r).time for r in REATTEMPTS}
    if len(spans) != 1:
        raise ValueError(
            f"the rules {', '.join(REATTEMPTS)} are counted here in one window; they now have several"
        )
    most = " ".join(f"WHEN rule = '{r}' THEN {_count(rule(r), 'acquirer')}" for r in REATTEMPTS)
    return f"""judged AS (
            SELECT *, LAG(raw) OVER w AS last_raw, row_number() OVER w > 1 AS follows,
                MIN(never) OVER (PARTITION BY lane, alone, run ORDER BY place {_BEFORE}) AS never_since,
                MIN(stop) OVER (PARTITION BY lane, alone, run ORDER BY place {_BEFORE}) AS stop_since,
                NOT before_paid AND us - before_us <= CASE WHEN rail = 'elo' THEN {_micros(elo.time)} ELSE {_micros(spans.pop())} END AS repeat
            FROM runs WINDOW w AS (PARTITION BY lane, alone, run ORDER BY place)
        ),
        ruled AS (
            SELECT * EXCLUDE (never, stop), CASE
                WHEN rail = 'elo' THEN 'ELO-RETRY'
                WHEN stop_since <= day AND day >= {_day(stop.since)} THEN 'VISA-VSPS'
                WHEN stop_since <= day OR never_since <= day AND day >= {_day(never.since)} THEN 'VISA-CAT1'
                WHEN {_names(rule("VISA-CAT1"), "last_raw")} THEN 'VISA-CAT4'
                WHEN {_names(rule("VISA-CAT2"), "last_raw")} THEN 'VISA-CAT2'
                WHEN {_names(rule("VISA-CAT3-REATTEMPT"), "last_raw")} AND (last_raw NOT IN ('70', '1A') OR country IN ({_among(EUROPE)}))
                    THEN 'VISA-CAT3-REATTEMPT' ELSE 'VISA-CAT4' END AS rule
            FROM judged
        ),
        stopped AS (SELECT * FROM ruled WHERE bills AND rail = 'visa' AND rule IN ('VISA-VSPS', 'VISA-CAT1')),
        weighed AS (
            SELECT *, CASE {most} WHEN rule = 'ELO-RETRY' THEN {_count(elo, "")} END AS most FROM ruled WHERE repeat
        ),
        repeated AS (
            SELECT * FROM (SELECT *, LAG(us, CAST(COALESCE(most, 1) AS INTEGER)) OVER (PARTITION BY lane, alone ORDER BY place) AS earlier FROM weighed)
            WHERE bills AND (rail = 'visa' AND follows AND rule NOT IN ('VISA-VSPS', 'VISA-CAT1') AND earlier > us - {_micros(rule("VISA-CAT4").time)}
                OR rail = 'elo' AND day >= {_day(elo.since)} AND earlier > us - {_micros(elo.time)})
        )"""


def _mastercard() -> str:
    """Declines beyond the counts of a day and of a month for one amount (a day's is not billed again for the month), and
    tries against advice. What has no answer yet is no decline so far."""
    day, month, mac = rule("MC-TPE-24H"), rule("MC-TPE-30D"), rule("MC-TPE-MAC")
    return f"""counts AS (
            SELECT *, {_count(day, None)} AS a_day, {_count(month, None)} AS a_month FROM placed WHERE refused
        ),
        lagged AS (
            SELECT *, LAG(us, CAST(a_day AS INTEGER)) OVER (PARTITION BY lane, alone ORDER BY place) AS day_before,
                LAG(us, CAST(a_month AS INTEGER)) OVER same AS month_before,
                MAX(CASE WHEN advised THEN us END) OVER (PARTITION BY lane, alone, amount_minor ORDER BY place {_BEFORE}) AS advised_at
            FROM counts WINDOW same AS (PARTITION BY lane, alone, amount_minor ORDER BY place)
        ),
        declined AS (
            SELECT *, CASE WHEN day >= {_day(day.since)} AND day_before > us - {_micros(day.time)} THEN '{day.id}'
                WHEN day >= {_day(month.since)} AND month_before > us - {_micros(month.time)} THEN '{month.id}' END AS rule,
                COALESCE(day >= {_day(mac.since)} AND advised_at > us - {_micros(mac.time)}, FALSE) AS against
            FROM lagged WHERE bills AND rail = 'mastercard'
        )"""


def _names(r: Rule, code: str) -> str:
    """Whether the rule names the code on the day of the try."""
    days: dict[date, list[str]] = {}
    for each, since in r.codes.items():
        days.setdefault(since, []).append(each)
    told = [
        f"{code} IN ({_among(codes)})" + ("" if since == ALWAYS else f" AND day >= {_day(since)}")
        for since, codes in days.items()
    ]
    return "(" + " OR ".join(told) + ")"


def _since(r: Rule) -> str:
    """From which day the rule names the code of a refusal; null where it never does."""
    arms = " ".join(f"WHEN a.raw = {_text(code)} THEN {_day(since)}" for code, since in r.codes.items())
    return f"CASE {arms} END"


def _count(r: Rule, where: str | None) -> str:
    """`Rule.count_in`: the count by the country of the card (None), or of that place, on the day of the try."""
    arms = []
    for place, count, since in r.elsewhere:
        if where is not None and place not in (where, "*"):
            continue
        here = f"country = {_text(place)} AND " if place not in (where, "*") else ""
        arms.append(f"WHEN {here}day >= {_day(since)} THEN {count}")
    return f"CASE {' '.join(arms)} ELSE {r.count} END" if arms else str(r.count)


def _least(r: Rule) -> int:
    return min([r.count or 0, *(count for _, count, _ in r.elsewhere)])


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _day(on: date) -> str:
    return f"DATE '{max(on, date(1, 1, 1)).isoformat()}'"


def _among(values: Iterable[str]) -> str:
    return ", ".join(_text(v) for v in sorted(values))


def _text(value: object) -> str:
    return "CAST(NULL AS VARCHAR)" if value is None else "'" + str(value).replace("'", "''") + "'"
