"""Experiments and their cases; approvals, the audit log, alerts, mails to staff, desk settings; people's addresses."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds what the desk needs; nothing that is there changes."""
    op.add_column("users", _text("email", nullable=True))
    by_people = sa.text("substr(actor, 1, 6) = 'staff:'")
    op.create_index(
        "ix_facts_people", "facts", ["merchant_id", "at"], postgresql_where=by_people, sqlite_where=by_people
    )
    _experiments()
    _approvals()
    _audit()
    _alerts()
    _desk()


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable, server_default=default)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    """Whole microseconds since 1970."""
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _experiments() -> None:
    op.create_table(
        "experiments",
        _text("merchant_id"),
        _text("id"),
        _text("state"),
        _moment("created_at"),
        _text("created_by"),
        _moment("began_at", nullable=True),
        _moment("stopped_at", nullable=True),
        _text("stopped_by", nullable=True),
        _text("stopped_why", nullable=True),
        _text("promoted", nullable=True),
        _moment("checked_at", nullable=True),
        _text("body"),
        sa.PrimaryKeyConstraint("merchant_id", "id", name="pk_experiments"),
    )
    op.create_table(
        "enrolments",
        _text("merchant_id"),
        _text("experiment_id"),
        _text("case_id"),
        _text("customer_id"),
        _text("arm"),
        _text("stratum"),
        _moment("at"),
        sa.PrimaryKeyConstraint("merchant_id", "experiment_id", "case_id", name="pk_enrolments"),
    )


def _approvals() -> None:
    op.create_table(
        "approvals",
        _text("merchant_id"),
        _text("id"),
        _text("what"),
        _text("subject"),
        _text("body"),
        _text("asked_by"),
        _moment("asked_at"),
        _text("state"),
        _text("decided_by", nullable=True),
        _moment("decided_at", nullable=True),
        _text("why", nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "id", name="pk_approvals"),
    )
    op.create_index("ix_approvals_asked", "approvals", ["merchant_id", "asked_at"])


def _audit() -> None:
    op.create_table(
        "audit",
        _text("merchant_id"),
        _text("id"),
        _moment("at"),
        _text("actor"),
        _text("what"),
        _text("subject"),
        _text("body", default="{}"),
        sa.PrimaryKeyConstraint("merchant_id", "id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["merchant_id", "at"])


def _alerts() -> None:
    op.create_table(
        "alerts",
        _text("merchant_id"),
        _text("kind"),
        _moment("since"),
        _moment("seen_at"),
        _moment("cleared_at", nullable=True),
        _moment("told_at", nullable=True),
        _moment("silent_until", nullable=True),
        _text("silenced_by", nullable=True),
        _text("body"),
        sa.PrimaryKeyConstraint("merchant_id", "kind", name="pk_alerts"),
    )


def _desk() -> None:
    op.create_table(
        "notices",
        _text("merchant_id"),
        _text("once_key"),
        _text("recipient"),
        _moment("at"),
        _text("status"),
        _text("why", nullable=True),
        sa.PrimaryKeyConstraint("merchant_id", "once_key", name="pk_notices"),
    )
    op.create_table(
        "desk_settings",
        _text("merchant_id"),
        _text("name"),
        _text("value"),
        _moment("changed_at"),
        _text("changed_by"),
        sa.PrimaryKeyConstraint("merchant_id", "name", name="pk_desk_settings"),
    )
