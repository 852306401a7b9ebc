"""Writes the audit log: one line for each change of settings, people, policies and experiments."""

from datetime import datetime

from sqlalchemy.engine import Connection

from recoup.engine.ids import new_id
from recoup.store import audit


def note(
    tx: Connection, merchant_id: str, *, actor: str, what: str, subject: str, now: datetime, **body: object
) -> None:
    """Notes that `actor` did `what` (such as `experiment.started`) to `subject`, in the caller's transaction."""
    audit.add(tx, merchant_id, id=new_id("au"), at=now, actor=actor, what=what, subject=subject, body=body)
