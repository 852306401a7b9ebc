"""Works a metric out over an extract, whole or split, with its interval, its maturity and what has to be said beside it."""

from math import sqrt

import msgspec

from recoup.insight.cards import BY_ID, Card
from recoup.insight.figures import Basis, Figure, Interval, Unit, unknown
from recoup.insight.frame import COLUMNS, EVERYTHING, Frame, Value, Where
from recoup.insight.intervals import FEW, Pair, around, ratio_bootstrap, wilson

RESAMPLED = 200
"""Up to so many customers an interval of money is resampled; above, linearised (they agree there)."""
WINDOWS = (3, 7, 14, 30, 60)
DEFAULT_WINDOW = 30


class _Sums(msgspec.Struct, frozen=True):
    """One split: sums of one card over customers."""

    of: str
    a: float | None
    b: float | None
    n: int
    customers: int
    aa: float | None
    ab: float | None
    bb: float | None


def measure(
    frame: Frame,
    card: Card | str,
    *,
    window: int = DEFAULT_WINDOW,
    where: Where = EVERYTHING,
    by: str | None = None,
) -> list[Figure]:
    """The metric over the cases of `where`, split by one of `frame.COLUMNS` (None: not split), in order of the split.

    A metric by value is told for each currency where none is chosen: `of` then names it.
    """
    card = BY_ID[card] if isinstance(card, str) else card
    sql, values = _sql(card, window, where, by)
    found = frame.rows(sql, values, kind=_Sums)
    if not found and by is None:
        return [_nothing(frame, card, window, where)]
    return [_figure(frame, card, window, where, by, sums) for sums in found]


def the(frame: Frame, card: Card | str, *, window: int = DEFAULT_WINDOW, where: Where = EVERYTHING) -> Figure:
    """The metric as one figure; by value only with a currency in `where`. Raises `ValueError` where it is several."""
    found = measure(frame, card, window=window, where=where)
    if len(found) > 1:
        raise ValueError(f"{found[0].meaning.metric} is one figure for each currency; choose one")
    return found[0]


def _split(card: Card, where: Where, by: str | None) -> str:
    if by is not None:
        return COLUMNS[by] if card.table == "renewals" else _joined(by)
    return "currency" if card.by_value and not where.currency else "'all'"


def _joined(by: str) -> str:
    return f"(SELECT MAX({COLUMNS[by]}) FROM renewals c WHERE c.case_n = t.case_n)"


def question(
    card: Card, *, window: int = DEFAULT_WINDOW, where: Where = EVERYTHING, by: str | None = None
) -> tuple[str, list[Value]]:
    """The SQL of a metric and what its question marks stand for: the same text for DuckDB and for any other engine that has
    the tables of the Parquet export and the views `renewals` and `renewal_attempts`."""
    return _sql(card, window, where, by)


def _sql(card: Card, window: int, where: Where, by: str | None) -> tuple[str, list[Value]]:
    """SUM(above) and SUM(below); with money also their squares over customers, which its interval needs."""
    condition, values = where.sql()
    of_cases = card.table == "renewals"
    own = (
        condition
        if of_cases
        else f"case_n IN (SELECT case_n FROM renewals WHERE outcome <> 'X' AND {condition})"
    )
    ripe, above, below = (text.format(days=int(window)) for text in (card.where, card.above, card.below))
    split = _split(card, where, by)
    if _by_rows(card):
        sql = f"""
        WITH single AS (SELECT {split} AS of, {above} AS a, {below} AS b FROM {card.table} t WHERE {ripe} AND {own})
        SELECT of, CAST(SUM(a) AS DOUBLE) AS a, CAST(SUM(b) AS DOUBLE) AS b, CAST(COUNT(*) AS BIGINT) AS n, 0 AS customers,
            NULL AS aa, NULL AS ab, NULL AS bb
        FROM single GROUP BY of ORDER BY of"""
        return sql, values
    sql = f"""
        WITH single AS (
            SELECT {split} AS of, {"customer_id" if of_cases else "case_n"} AS who, {above} AS a, {below} AS b FROM {card.table} t WHERE {ripe} AND {own}
        ), per AS (
            SELECT of, who, SUM(a) AS a, SUM(b) AS b, COUNT(*) AS n FROM single GROUP BY of, who
        )
        SELECT of, CAST(SUM(a) AS DOUBLE) AS a, CAST(SUM(b) AS DOUBLE) AS b, CAST(SUM(n) AS BIGINT) AS n, COUNT(*) AS customers,
            SUM(CAST(a AS DOUBLE) * a) AS aa, SUM(CAST(a AS DOUBLE) * b) AS ab, SUM(CAST(b AS DOUBLE) * b) AS bb
        FROM per GROUP BY of ORDER BY of"""
    return sql, values


def _by_rows(card: Card) -> bool:
    """Whether the interval is that of a count of rows, for which it does not matter whose they are."""
    return card.basis is not Basis.VALUE and card.unit is Unit.SHARE


def _figure(frame: Frame, card: Card, window: int, where: Where, by: str | None, sums: _Sums) -> Figure:
    meaning = card.meaning(window)
    told = sums.of if where == EVERYTHING or sums.of == "all" else f"{where.says}, {sums.of}"
    of = where.says if sums.of == "all" else told
    if not sums.b:
        return unknown(meaning, _why(card, window), of=of, as_of=frame.as_of)
    value = (sums.a or 0.0) / sums.b
    notes = (f"too few to compare: {sums.n} of {FEW}",) if sums.n < FEW else ()
    return Figure(
        meaning=meaning, value=value, n=sums.n, interval=_interval(frame, card, window, where, by, sums, value), of=of,
        as_of=frame.as_of, notes=notes,
    )  # fmt: skip


def _interval(
    frame: Frame, card: Card, window: int, where: Where, by: str | None, sums: _Sums, r: float
) -> Interval | None:
    assert sums.b
    if _by_rows(card):
        return wilson(sums.a or 0.0, sums.b)
    if sums.customers < 2:
        return None
    if sums.customers <= RESAMPLED and by is None:
        return ratio_bootstrap(_pairs(frame, card, window, where, sums.of))
    spread = (sums.aa or 0.0) - 2 * r * (sums.ab or 0.0) + r * r * (sums.bb or 0.0)
    se = sqrt(max(0.0, spread) * sums.customers / (sums.customers - 1)) / sums.b
    found = around(r, se, method="delta by customer")
    top = 1.0 if card.unit is Unit.SHARE else found.high
    return msgspec.structs.replace(found, low=max(0.0, found.low), high=min(top, found.high))


def _pairs(frame: Frame, card: Card, window: int, where: Where, of: str) -> list[Pair]:
    condition, values = where.sql()
    ripe, above, below = (text.format(days=int(window)) for text in (card.where, card.above, card.below))
    split = _split(card, where, None)
    sql = f"""SELECT CAST(SUM({above}) AS DOUBLE) AS a, CAST(SUM({below}) AS DOUBLE) AS b FROM {card.table} t
        WHERE {ripe} AND {condition} AND {split} = ? GROUP BY customer_id ORDER BY customer_id"""
    return [(float(str(r["a"])), float(str(r["b"]))) for r in frame.dicts(sql, [*values, of])]


def _nothing(frame: Frame, card: Card, window: int, where: Where) -> Figure:
    return unknown(card.meaning(window), _why(card, window), of=where.says, as_of=frame.as_of)


def _why(card: Card, window: int) -> str:
    if card.windowed:
        return f"no case of these is {window} days old yet, so nothing can be said about {window} days"
    return "there is nothing to count yet"
