"""What attempts are worth: approval and cumulative recovery by number, value of one more, and the hours that work."""

import msgspec

from recoup.insight.figures import Interval
from recoup.insight.frame import EVERYTHING, Frame, Value, Where
from recoup.insight.intervals import wilson


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """The k-th attempt of the cases that got so far. Conditional on k - 1 refusals: not comparable between merchants."""

    k: int
    made: int
    approved: int
    approval: float
    interval: Interval
    cumulative: float
    """Share of all cases recovered at or before attempt k, those without a k-th attempt included."""
    mean_minor: float
    """Mean amount of an approved k-th attempt."""


def rungs(frame: Frame, *, where: Where = EVERYTHING, most: int = 12) -> list[Rung]:
    """By attempt number, the first (failed) one included as number 1."""
    condition, values = where.sql()
    chosen = f"renewals WHERE outcome <> 'X' AND {condition}"
    back_by_k = f"SELECT paid_nth AS k, outcome = 'R' AS back, COUNT(*) AS n FROM {chosen} GROUP BY 1, 2"
    ends = [(r["k"], bool(r["back"]), int(str(r["n"]))) for r in frame.dicts(back_by_k, values)]
    cases = sum(n for _, _, n in ends)
    found = []
    made_by_k = [r for r in _counted(frame, where) if r["k"] is not None and int(str(r["k"])) <= most]
    for r in sorted(made_by_k, key=lambda r: int(str(r["k"]))):
        k, made, approved = (int(str(r[n])) for n in ("k", "made", "approved"))
        back = sum(n for nth, came, n in ends if came and nth is not None and int(str(nth)) <= k)
        found.append(
            Rung(
                k=k, made=made, approved=approved, approval=approved / made, interval=wilson(approved, made),
                cumulative=back / cases if cases else 0.0, mean_minor=int(str(r["minor"])) / approved if approved else 0.0,
            )
        )  # fmt: skip
    return found


def marginal_value(
    rung: Rung, *, margin: float, fee: float, penalty: float = 0.0, dispute: float = 0.0
) -> float:
    """Minor units one more attempt of this number is worth: approval x amount x margin, minus what it costs.

    `fee` and `penalty` are minor units of each attempt, `dispute` is probability times cost. Stop when negative.
    """
    return rung.approval * rung.mean_minor * margin - (fee + penalty + dispute)


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """Our attempts in one local hour of one weekday (1 Monday to 7 Sunday), reporting zone."""

    weekday: int
    hour: int
    made: int
    approved: int


def timing(frame: Frame, *, where: Where = EVERYTHING) -> list[Hour]:
    """The heat map of our own retries. Few in a cell say nothing; the counts stand beside."""
    cells = [r for r in _counted(frame, where) if r["k"] is None and r["ours"]]
    names = Hour.__struct_fields__
    return sorted(
        (Hour(**{n: int(str(r[n])) for n in names}) for r in cells), key=lambda h: (h.weekday, h.hour)
    )


def _counted(frame: Frame, where: Where) -> list[dict[str, Value]]:
    """Answered attempts by number, and by weekday, hour and whether they were ours, in one pass: finding those of the chosen
    cases is most of the work, and where all of a currency are chosen it is quicker to leave out the few that do not count."""
    condition, values = where.sql()
    chosen = f"case_n IN (SELECT case_n FROM renewals WHERE outcome <> 'X' AND {condition})"
    if where == Where(currency=where.currency):
        chosen = (
            f"of_renewal AND {condition} AND case_n NOT IN (SELECT case_n FROM renewals WHERE outcome = 'X')"
        )
    sql = f"""
        WITH counted AS (
            SELECT (nth * 8 + weekday) * 32 + hour AS slot, trigger, result, COUNT(*) AS made, SUM(amount_minor) AS minor
            FROM attempts WHERE result IN ('paid', 'declined') AND {chosen} GROUP BY ALL
        ), groups AS (
            SELECT slot // 256 AS nth, slot // 32 % 8 AS weekday, slot % 32 AS hour, trigger IN ('recoup', 'backup') AS ours, made,
                CASE WHEN result = 'paid' THEN made ELSE 0 END AS approved, CASE WHEN result = 'paid' THEN minor ELSE 0 END AS minor
            FROM counted
        )
        SELECT nth AS k, weekday, hour, ours, CAST(SUM(made) AS BIGINT) AS made, CAST(SUM(approved) AS BIGINT) AS approved,
            CAST(SUM(minor) AS BIGINT) AS minor
        FROM groups GROUP BY GROUPING SETS ((nth), (weekday, hour, ours))"""
    return frame.dicts(sql, values)
