"""All tables, constraints and indexes. Every table carries its merchant, first in every key."""

import sqlalchemy as sa

from recoup.store import figure_tables, post_tables, told_tables
from recoup.store.columns import Moment
from recoup.store.schema import MOVING, of_merchant
from recoup.store.schema import metadata as _metadata

metadata = _metadata

merchants = sa.Table(
    "merchants",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("psp", sa.Text, nullable=False),
    # Provider address, tokens and webhook secrets; sealed, see store/vault.py.
    sa.Column("account", sa.LargeBinary, nullable=False),
    # How the merchant shows itself to subscribers: sender, logo, colour, reply address.
    sa.Column("brand", sa.Text, nullable=False, server_default="{}"),
    # Where it sits, two letters: what card networks' fees are priced by; null: taken to sit where each card was issued.
    sa.Column("country", sa.Text),
    # How it sends text messages, and where its staff's chat is; sealed like the account.
    sa.Column("doors", sa.LargeBinary),
    # `name@version` that new cases begin with.
    sa.Column("policy", sa.Text, nullable=False),
    # The version in `models` that speaks in learned decisions; null: the shipped model.
    sa.Column("model", sa.Text),
    # The version in `models` that predicts coming renewals; null: the shipped model.
    sa.Column("renewal_model", sa.Text),
    # JSON list: audiences whose cases begin with a policy of their own, the latest first.
    sa.Column("policy_rules", sa.Text, nullable=False, server_default="[]"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("removed_at", Moment),
    # Test clock: both null on a merchant that lives in real time.
    sa.Column("clock_now", Moment),
    sa.Column("clock_target", Moment),
    sa.Column("clock_claimed_by", sa.Text),
    # Circuit breaker of the provider account: nothing is sent before this instant (real time).
    sa.Column("rests_until", Moment),
    sa.Column("trouble", sa.Integer, nullable=False, server_default="0"),
    sa.Column("trouble_says", sa.Text),
)

policies = sa.Table(
    "policies",
    metadata,
    of_merchant(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

models = sa.Table(
    "models",
    metadata,
    of_merchant(),
    # A digest of the body: a version never changes.
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

customers = sa.Table(
    "customers",
    metadata,
    of_merchant(),
    sa.Column("id", sa.Text, primary_key=True),
    # Personal data lives here and nowhere else, so that it can be erased.
    sa.Column("email", sa.Text),
    sa.Column("phone", sa.Text),
    # When we were told of their consent to text messages; null: none.
    sa.Column("sms_consent_at", Moment),
    sa.Column("name", sa.Text),
    sa.Column("locale", sa.Text),
    sa.Column("timezone", sa.Text),
    sa.Column("country", sa.Text),
    sa.Column("preferences", sa.Text, nullable=False, server_default="{}"),
    # What the customer told us for later debts too: pay days, backup methods they allow.
    sa.Column("stated", sa.Text, nullable=False, server_default="{}"),
    sa.Column("deleted_at", Moment),
    sa.Column("updated_at", Moment, nullable=False),
)

cases = sa.Table(
    "cases",
    metadata,
    of_merchant(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("debt_id", sa.Text, nullable=False),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("subscription_id", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("category", sa.Text),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("closed_at", Moment),
    sa.Column("recovered_by", sa.Text),
    sa.Column("hold", sa.Text),
    sa.Column("queue", sa.Text),
    sa.Column("owner", sa.Text),
    sa.Column("surplus_minor", sa.BigInteger, nullable=False, server_default="0"),
    # The alarm clock: null = nothing to do until a fact arrives.
    sa.Column("next_action_at", Moment),
    # The worker that has a provider call under way for this case; free again when that worker's heart stops.
    sa.Column("claimed_by", sa.Text),
    sa.Column("version", sa.Integer, nullable=False),
    # The whole case as JSON: equals the fold of its facts.
    sa.Column("body", sa.Text, nullable=False),
    postgresql_with=MOVING,
)
sa.Index("ix_cases_due", cases.c.merchant_id, cases.c.next_action_at, postgresql_where=cases.c.next_action_at.is_not(None),
         sqlite_where=cases.c.next_action_at.is_not(None))  # fmt: skip
sa.Index("uq_cases_open_debt", cases.c.merchant_id, cases.c.debt_id, unique=True,
         postgresql_where=cases.c.closed_at.is_(None), sqlite_where=cases.c.closed_at.is_(None))  # fmt: skip
sa.Index("ix_cases_debt", cases.c.merchant_id, cases.c.debt_id)
sa.Index("ix_cases_customer", cases.c.merchant_id, cases.c.customer_id)
sa.Index("ix_cases_subscription", cases.c.merchant_id, cases.c.subscription_id)
sa.Index("ix_cases_listed", cases.c.merchant_id, cases.c.opened_at, cases.c.id)
# For the desk. Partial, so that no batch can take them for a way in, and on columns that a charge does not change: on
# PostgreSQL a step that changes a column of any index writes to all of them.
sa.Index("ix_cases_closed", cases.c.merchant_id, cases.c.closed_at, postgresql_where=cases.c.closed_at.is_not(None),
         sqlite_where=cases.c.closed_at.is_not(None))  # fmt: skip
# Not the same by currency: what is summed by currency would be read along it, every case that is over.
sa.Index("ix_cases_over_category", cases.c.merchant_id, cases.c.category, cases.c.opened_at, cases.c.id,
         postgresql_where=cases.c.closed_at.is_not(None), sqlite_where=cases.c.closed_at.is_not(None))  # fmt: skip
sa.Index("ix_cases_queue", cases.c.merchant_id, cases.c.queue, postgresql_where=cases.c.queue.is_not(None),
         sqlite_where=cases.c.queue.is_not(None))  # fmt: skip
OF_SURPLUS = sa.text("cases.surplus_minor > 0")
"""Said in these very words, so that SQLite knows its index by them."""
_OF_SURPLUS = sa.text("surplus_minor > 0")
sa.Index(
    "ix_cases_surplus",
    cases.c.merchant_id,
    cases.c.id,
    postgresql_where=_OF_SURPLUS,
    sqlite_where=_OF_SURPLUS,
)

facts = sa.Table(
    "facts",
    metadata,
    of_merchant(),
    sa.Column("case_id", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
_BY_PEOPLE = "substr(actor, 1, 6) = 'staff:'"
sa.Index("ix_facts_people", facts.c.merchant_id, facts.c.at, postgresql_where=sa.text(_BY_PEOPLE),
         sqlite_where=sa.text(_BY_PEOPLE))  # fmt: skip

AFTERMATH = (
    "kind IN ('amount_changed', 'cancelled', 'dispute_lost', 'disputed', 'method_updated', 'paid_elsewhere', "
    "'refunded', 'surplus_refunded', 'voided')"
)
"""Facts that figures ask for and the case's own row does not keep. Few; found through an index of their own."""
sa.Index("ix_facts_aftermath", facts.c.merchant_id, facts.c.case_id, facts.c.seq,
         postgresql_where=sa.text(AFTERMATH), sqlite_where=sa.text(AFTERMATH))  # fmt: skip

attempts = sa.Table(
    "attempts",
    metadata,
    of_merchant(),
    sa.Column("case_id", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    # What the networks count by: card or account fingerprint, else the method id.
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("network", sa.Text),
    sa.Column("at", Moment, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("psp", sa.Text),
    sa.Column("code", sa.Text),
    sa.Column("network_code", sa.Text),
    sa.Column("advice_code", sa.Text),
    sa.Column("ref", sa.Text),
    postgresql_with=MOVING,
)
sa.Index("ix_attempts_identity", attempts.c.merchant_id, attempts.c.identity, attempts.c.at)
# An event may name nothing but the attempt, or the provider's reference of it. The merchant comes second: beside other
# indexes that begin with it, a planner without statistics took these for as good a way to a card's attempts.
sa.Index("ix_attempts_id", attempts.c.id, attempts.c.merchant_id)
sa.Index("ix_attempts_ref", attempts.c.ref, attempts.c.merchant_id, postgresql_where=attempts.c.ref.is_not(None),
         sqlite_where=attempts.c.ref.is_not(None))  # fmt: skip

api_keys = sa.Table(
    "api_keys",
    metadata,
    of_merchant(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("revoked_at", Moment),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    of_merchant(),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("answer", sa.LargeBinary),
    sa.Column("at", Moment, nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("login", sa.Text, nullable=False, unique=True),
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    # Where digests and alerts go; null = none.
    sa.Column("email", sa.Text),
    # JSON list of merchant ids this person may see; null = all.
    sa.Column("merchants", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("disabled_at", Moment),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("merchant_id", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
)

one_time_links = sa.Table(
    "one_time_links",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("used_at", Moment),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    # Real time by the worker's own clock; hosts whose clocks differ by seconds do work twice, never a charge.
    sa.Column("beat_at", Moment, nullable=False),
)

experiments = sa.Table(
    "experiments",
    metadata,
    of_merchant(),
    sa.Column("id", sa.Text, primary_key=True),
    # `waiting` (begins by itself when there is enough to answer with), `running`, `off`, `stopped`.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("began_at", Moment),
    sa.Column("stopped_at", Moment),
    sa.Column("stopped_by", sa.Text),
    sa.Column("stopped_why", sa.Text),
    # The arm that was made the rule afterwards.
    sa.Column("promoted", sa.Text),
    sa.Column("checked_at", Moment),
    # The plan as it was registered, JSON; never changed.
    sa.Column("body", sa.Text, nullable=False),
)

enrolments = sa.Table(
    "enrolments",
    metadata,
    of_merchant(),
    sa.Column("experiment_id", sa.Text, primary_key=True),
    sa.Column("case_id", sa.Text, primary_key=True),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("arm", sa.Text, nullable=False),
    # What was known before any arm could touch the case: cause/size/tenure.
    sa.Column("stratum", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

approvals = sa.Table(
    "approvals",
    metadata,
    of_merchant(),
    sa.Column("id", sa.Text, primary_key=True),
    # What is asked for: `write_off`, `refund`, `policy`; and of which case or policy.
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
    # `asked`, `approved`, `refused`, `withdrawn`.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", Moment),
    sa.Column("why", sa.Text),
)
sa.Index("ix_approvals_asked", approvals.c.merchant_id, approvals.c.asked_at)

# Who changed what besides cases: people, settings, experiments, policies. Append only. Merchant `` is the house itself.
audit = sa.Table(
    "audit",
    metadata,
    of_merchant(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False, server_default="{}"),
)
sa.Index("ix_audit_at", audit.c.merchant_id, audit.c.at)

alerts = sa.Table(
    "alerts",
    metadata,
    of_merchant(),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("since", Moment, nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("cleared_at", Moment),
    sa.Column("told_at", Moment),
    sa.Column("silent_until", Moment),
    sa.Column("silenced_by", sa.Text),
    sa.Column("body", sa.Text, nullable=False),
)

# Mails to staff: digests and alerts, each sent once.
notices = sa.Table(
    "notices",
    metadata,
    of_merchant(),
    sa.Column("once_key", sa.Text, primary_key=True),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("why", sa.Text),
)

# What a merchant's people have chosen for their desk: JSON by name.
desk_settings = sa.Table(
    "desk_settings",
    metadata,
    of_merchant(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("changed_at", Moment, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
)
renewals = sa.Table(
    "renewals",
    metadata,
    of_merchant(),
    # The next charge of each subscription and the method it will be made on, as the billing system told us.
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("subscription_id", sa.Text, primary_key=True),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
sa.Index("ix_renewals_due", renewals.c.merchant_id, renewals.c.due_at)

tries = sa.Table(
    "tries",
    metadata,
    # How often somebody without a login asked in one span of time, counted by all processes together.
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("count", sa.Integer, nullable=False),
)
sa.Index("ix_tries_slot", tries.c.slot)

company_facts, forecasts = figure_tables.company_facts, figure_tables.forecasts
endpoints, deliveries = told_tables.endpoints, told_tables.deliveries
access_told, usage = told_tables.access_told, told_tables.usage
inbox, outbox, mails = post_tables.inbox, post_tables.outbox, post_tables.mails
REFUSED, UNSENT = post_tables.REFUSED, post_tables.UNSENT
