"""What each table of the extract looks like: instants as timestamps, and the columns every figure is counted from.

What the files hold does not change while time goes on; what does (`age_s` and its like) is worked out as they are read.
"""

TABLES = ("cases", "attempts", "messages", "arms", "events")

DAY = 86_400
AMOUNT_RULE = 0.995
"""A case is recovered when at least this share of what was due at the first failure was collected."""

_CASES = """
WITH told AS (
    SELECT case_id,
        CAST(SUM(CASE WHEN kind = 'refunded' THEN amount_minor ELSE 0 END) AS BIGINT) AS refunded_minor,
        CAST(SUM(CASE WHEN kind = 'surplus_refunded' THEN amount_minor ELSE 0 END) AS BIGINT) AS surplus_refunded_minor,
        CAST(SUM(CASE WHEN kind = 'disputed' THEN 1 ELSE 0 END) AS BIGINT) AS disputes,
        CAST(SUM(CASE WHEN kind = 'dispute_lost' THEN 1 ELSE 0 END) AS BIGINT) AS disputes_lost,
        CAST(SUM(CASE WHEN kind = 'amount_changed' THEN 1 ELSE 0 END) AS BIGINT) AS credits,
        CAST(SUM(CASE WHEN kind = 'method_updated' THEN 1 ELSE 0 END) AS BIGINT) AS methods_given,
        CAST(SUM(CASE WHEN kind = 'paid_elsewhere' THEN 1 ELSE 0 END) AS BIGINT) AS paid_elsewhere,
        MIN(CASE WHEN kind = 'cancelled' THEN happened_at END) AS cancelled_at,
        CAST(SUM(CASE WHEN kind = 'voided' THEN 1 ELSE 0 END) AS BIGINT) AS voids,
        MAX(CASE WHEN kind = 'paid_elsewhere' THEN amount_minor END) AS elsewhere_minor
    FROM raw_events WHERE case_id IN (SELECT x.id FROM body) GROUP BY case_id
), money AS (
    SELECT r.* REPLACE (CASE WHEN r.state IN ('recovered', 'disputed') AND r.paid_count = 0
                THEN COALESCE(t.elsewhere_minor, r.owed_minor) ELSE r.collected_minor END AS collected_minor),
        COALESCE(t.refunded_minor, 0) AS refunded_minor, COALESCE(t.surplus_refunded_minor, 0) AS surplus_refunded_minor,
        COALESCE(t.disputes, 0) AS disputes, COALESCE(t.disputes_lost, 0) AS disputes_lost, COALESCE(t.credits, 0) AS credits,
        COALESCE(t.methods_given, 0) AS methods_given, COALESCE(t.paid_elsewhere, 0) AS paid_elsewhere,
        t.cancelled_at, COALESCE(t.voids, 0) AS voids, (r.returns > 0 OR r.given_up_at IS NOT NULL) AND r.state = 'recovered' AND r.closed_at > r.window_ends_at AS came_back
    FROM raw_cases r LEFT JOIN told t ON t.case_id = r.id
), judged AS (
    SELECT * REPLACE (CASE WHEN came_back THEN window_ends_at ELSE closed_at END AS closed_at), CASE
        WHEN came_back AND given_up_at IS NOT NULL AND returns = 0 AND cancelled_at IS NOT NULL THEN 'LV'
        WHEN came_back THEN 'LI'
        WHEN state = 'recovered' AND collected_minor >= 0.995 * due_minor THEN 'R'
        WHEN state = 'recovered' THEN 'X'
        WHEN state = 'lost' AND disputes_lost > 0 THEN 'X'
        WHEN state = 'lost' THEN 'LI' WHEN state = 'lost_voluntary' THEN 'LV' WHEN state = 'excluded' THEN 'X' ELSE 'O' END AS outcome,
        state = 'recovered' AND collected_minor < 0.995 * due_minor AS partly,
        {failed} AS failed_local
    FROM money
)
SELECT {base} + k AS case_n, id, version, debt_id, subscription_id, customer_id, state, recovered_by, ending, currency, due_minor, owed_minor,
    collected_minor, surplus_minor, t0, opened_at,
    closed_at, window_ends_at, charge_kind, plan_interval, interval_inferred, plan,
    segment, mrr_minor, tenure_days, country, timezone, method, network, funding, method_country, category, reason, policy,
    policy_name, hold, queue, owner, promised_at, settled_ref, attempts, our_attempts, messages,
    first_action_at, last_action_at,
    paid_at, paid_trigger, paid_nth, paid_count,
    refunded_minor, surplus_refunded_minor, disputes, disputes_lost, credits, methods_given, paid_elsewhere,
    cancelled_at, voids, returns, given_up_at, came_back,
    outcome, partly,
    (epoch_us(window_ends_at) - epoch_us(t0)) / 86400000000.0 AS window_days,
    outcome = 'R' AND (first_action_at IS NULL OR first_action_at > closed_at
        OR last_action_at < closed_at - INTERVAL 24 HOUR) AND COALESCE(recovered_by, '') <> 'retry' AS self_cured,
    strftime(failed_local, '%Y-%m') AS cohort_month,
    strftime(failed_local, '%G-W%V') AS cohort_week,
    strftime({closed}, '%Y-%m') AS closed_month,
    CAST(day(failed_local) AS INTEGER) AS failed_day_of_month,
    CAST(isodow(failed_local) AS INTEGER) AS failed_weekday
FROM judged
"""

ASKED = """SELECT *, ({as_of} - epoch_us(t0)) / 1000000.0 AS age_s,
    (CASE WHEN outcome = 'O' THEN {as_of} ELSE COALESCE(epoch_us(closed_at), {as_of}) END - epoch_us(t0)) / 1000000.0 AS end_s,
    CAST(FLOOR((CASE WHEN outcome = 'O' THEN {as_of} ELSE COALESCE(epoch_us(closed_at), {as_of}) END - epoch_us(t0))
        / 86400000000.0) AS INTEGER) AS end_day
FROM {files}"""
"""The cases as of an instant (microseconds): how old each is, and how old it was when it ended."""

_ATTEMPTS = """
SELECT {base} + k AS case_n, case_id, id, nth, tried_at, trigger, amount_minor, currency, result, psp, code, network_code,
    advice_code, category, reason, advice, mapped, after_never, method, network, identity, ref,
    answered_at, raw, mac, billed_to, billed_kind, billed_network, billed_country,
    CAST(hour(tried_local) AS INTEGER) AS hour, CAST(isodow(tried_local) AS INTEGER) AS weekday,
    strftime(tried_local, '%Y-%m') AS month, of_renewal
FROM (SELECT *, {tried} AS tried_local FROM raw_attempts)
"""

_MESSAGES = """SELECT {base} + k AS case_n, case_id, id, told_at, channel, step, status, arms, paid_within_72h FROM raw_messages"""
_EVENTS = """SELECT case_id, seq, happened_at, kind, amount_minor, done_by, ref FROM raw_events
WHERE case_id IN (SELECT x.id FROM body)"""

_ARMS = """SELECT case_id, experiment, kind, arm, share, variant FROM raw_arms"""

_SHAPES = {"cases": _CASES, "attempts": _ATTEMPTS, "messages": _MESSAGES, "arms": _ARMS, "events": _EVENTS}
"""Table to the query that shapes it from what `lifting` made of some cases."""


def shaped(table: str, zone: str, base: int = 0) -> str:
    """The query that shapes a table, local days and hours on the clocks of `zone`.

    A case has a number for joining, `base` and its place among those lifted with it; other lots need other bases.
    """
    quoted = zone.replace("'", "''")
    local = "{0}" if zone == "UTC" else f"timezone('{quoted}', timezone('UTC', {{0}}))"
    return _SHAPES[table].format(
        failed=local.format("t0"), closed=local.format("closed_at"), tried=local.format("tried_at"), base=base
    )
