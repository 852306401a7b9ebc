"""The first tables: merchants, cases with their facts, in- and outbox, people."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOVING = {
    "fillfactor": 60,
    "autovacuum_vacuum_scale_factor": 0.05,
    "autovacuum_analyze_scale_factor": 0.05,
}
"""For tables whose rows change where they stand: room on the page for a row's next version; early clearing away."""


def upgrade() -> None:
    """Makes every table of this version."""
    _merchants()
    _policies()
    _customers()
    _cases()
    _facts()
    _attempts()
    _inbox()
    _outbox()
    _mails()
    _api_keys()
    _idempotency()
    _users()
    _sessions()
    _one_time_links()
    _workers()


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable, server_default=default)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    """Whole microseconds since 1970."""
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    """An index of only the rows that meet `where`, on either database."""
    only = sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=only, sqlite_where=only)


def _merchants() -> None:
    op.create_table(
        "merchants",
        _text("id"),
        _text("name"),
        _text("psp"),
        sa.Column("account", sa.LargeBinary, nullable=False),
        _text("brand", default="{}"),
        _text("policy"),
        _moment("created_at"),
        _moment("removed_at", nullable=True),
        _moment("clock_now", nullable=True),
        _moment("clock_target", nullable=True),
        _text("clock_claimed_by", nullable=True),
        _moment("rests_until", nullable=True),
        sa.Column("trouble", sa.Integer, nullable=False, server_default="0"),
        _text("trouble_says", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merchants")),
        sa.UniqueConstraint("name", name=op.f("uq_merchants_name")),
    )


def _policies() -> None:
    op.create_table(
        "policies",
        _text("merchant_id"),
        _text("name"),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        _text("body"),
        _text("source"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("merchant_id", "name", "version", name=op.f("pk_policies")),
    )


def _customers() -> None:
    op.create_table(
        "customers",
        _text("merchant_id"),
        _text("id"),
        _text("email", nullable=True),
        _text("name", nullable=True),
        _text("locale", nullable=True),
        _text("timezone", nullable=True),
        _text("country", nullable=True),
        _text("preferences", default="{}"),
        _moment("deleted_at", nullable=True),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_customers")),
    )


def _cases() -> None:
    op.create_table(
        "cases",
        _text("merchant_id"),
        _text("id"),
        _text("debt_id"),
        _text("customer_id"),
        _text("subscription_id", nullable=True),
        _text("state"),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        _text("currency"),
        _text("category", nullable=True),
        _text("policy"),
        _moment("opened_at"),
        _moment("closed_at", nullable=True),
        _text("recovered_by", nullable=True),
        _text("hold", nullable=True),
        _text("queue", nullable=True),
        _text("owner", nullable=True),
        sa.Column("surplus_minor", sa.BigInteger, nullable=False, server_default="0"),
        _moment("next_action_at", nullable=True),
        _text("claimed_by", nullable=True),
        sa.Column("version", sa.Integer, nullable=False),
        _text("body"),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_cases")),
        postgresql_with=MOVING,
    )
    op.create_index("ix_cases_customer", "cases", ["merchant_id", "customer_id"])
    op.create_index("ix_cases_debt", "cases", ["merchant_id", "debt_id"])
    _partial("ix_cases_due", "cases", ["merchant_id", "next_action_at"], "next_action_at IS NOT NULL")
    op.create_index("ix_cases_listed", "cases", ["merchant_id", "opened_at", "id"])
    op.create_index("ix_cases_subscription", "cases", ["merchant_id", "subscription_id"])
    _partial("uq_cases_open_debt", "cases", ["merchant_id", "debt_id"], "closed_at IS NULL", unique=True)


def _facts() -> None:
    op.create_table(
        "facts",
        _text("merchant_id"),
        _text("case_id"),
        sa.Column("seq", sa.Integer, nullable=False, autoincrement=False),
        _moment("at"),
        _text("kind"),
        _text("actor"),
        _text("body"),
        sa.PrimaryKeyConstraint("merchant_id", "case_id", "seq", name=op.f("pk_facts")),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        _text("merchant_id"),
        _text("case_id"),
        _text("id"),
        _text("identity"),
        _text("network", nullable=True),
        _moment("at"),
        _text("trigger"),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        _text("currency"),
        _text("result"),
        _text("psp", nullable=True),
        _text("code", nullable=True),
        _text("network_code", nullable=True),
        _text("advice_code", nullable=True),
        _text("ref", nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "case_id", "id", name=op.f("pk_attempts")),
        postgresql_with=MOVING,
    )
    op.create_index("ix_attempts_identity", "attempts", ["merchant_id", "identity", "at"])


def _inbox() -> None:
    op.create_table(
        "inbox",
        _text("merchant_id"),
        _text("event_id"),
        _text("psp"),
        _moment("received_at"),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        _text("status"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        _text("why", nullable=True),
        _text("debt_id", nullable=True),
        _moment("next_try_at", nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "event_id", name=op.f("pk_inbox")),
    )
    _partial("ix_inbox_due", "inbox", ["merchant_id", "next_try_at"], "next_try_at IS NOT NULL")
    _partial("ix_inbox_parked", "inbox", ["merchant_id", "debt_id"], "status = 'parked'")


def _outbox() -> None:
    op.create_table(
        "outbox",
        _text("merchant_id"),
        _text("once_key"),
        _text("kind"),
        _text("case_id"),
        _text("customer_id", nullable=True),
        _text("step", nullable=True),
        _text("channel", nullable=True),
        _text("body", default="{}"),
        _moment("created_at"),
        _text("status"),
        _text("why", nullable=True),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        _moment("next_try_at", nullable=True),
        _text("claimed_by", nullable=True),
        _moment("done_at", nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "once_key", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_customer", "outbox", ["merchant_id", "customer_id", "done_at"])
    _partial("ix_outbox_due", "outbox", ["merchant_id", "next_try_at"], "next_try_at IS NOT NULL")


def _mails() -> None:
    op.create_table(
        "mails",
        _text("merchant_id"),
        _text("once_key"),
        _text("case_id", nullable=True),
        _moment("at"),
        _text("recipient"),
        _text("subject"),
        _text("html"),
        _text("text"),
        _text("headers", default="{}"),
        sa.PrimaryKeyConstraint("merchant_id", "once_key", name=op.f("pk_mails")),
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        _text("merchant_id"),
        _text("id"),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        _text("scopes"),
        _moment("created_at"),
        _moment("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_api_keys")),
    )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        _text("merchant_id"),
        _text("key"),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("answer", sa.LargeBinary, nullable=True),
        _moment("at"),
        sa.PrimaryKeyConstraint("merchant_id", "key", name=op.f("pk_idempotency")),
    )


def _users() -> None:
    op.create_table(
        "users",
        _text("id"),
        _text("login"),
        _text("password"),
        _text("role"),
        _text("merchants", nullable=True),
        _moment("created_at"),
        _moment("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("login", name=op.f("uq_users_login")),
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        _text("user_id"),
        _text("csrf"),
        _text("merchant_id", nullable=True),
        _moment("created_at"),
        _moment("expires_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
    )


def _one_time_links() -> None:
    op.create_table(
        "one_time_links",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        _text("purpose"),
        _moment("created_at"),
        _moment("expires_at"),
        _moment("used_at", nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_one_time_links")),
    )


def _workers() -> None:
    op.create_table(
        "workers",
        _text("id"),
        _text("host"),
        _moment("started_at"),
        _moment("beat_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
