"""Who may do what: roles, the acts each may do, and up to which amount alone. Defaults, meant to be settings."""

from decimal import Decimal
from typing import Literal, get_args

from recoup.domain.money import decimal

Role = Literal["admin", "revops", "finance", "cs", "agent", "engineer", "analyst", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)

ROLE_WORDS: dict[Role, str] = {
    "admin": "founder or owner: may do everything, and lets people in and out",
    "revops": "owns the recovery rate: works cases, runs tests, changes policies",
    "finance": "owns the books: write-offs, refunds, disputes, holds",
    "cs": "owns named accounts: works the cases of high value",
    "agent": "support: works cases, small write-offs and refunds",
    "engineer": "owns the wiring: webhooks, data faults; reads cases",
    "analyst": "owns definitions and tests: reads everything, starts and stops tests",
    "viewer": "auditor: looks, reads the audit log, and changes nothing",
}

Act = Literal[
    "work", "retry", "close", "write_off", "refund", "test", "rule", "silence", "settings", "people", "audit"
]
MAY: dict[Act, frozenset[Role]] = {
    "work": frozenset({"admin", "revops", "finance", "cs", "agent"}),
    "retry": frozenset({"admin", "revops", "agent"}),
    "close": frozenset({"admin", "revops", "finance", "cs", "agent"}),
    "write_off": frozenset({"admin", "finance", "agent"}),
    "refund": frozenset({"admin", "finance", "agent"}),
    "test": frozenset({"admin", "revops", "analyst"}),
    "rule": frozenset({"admin", "revops"}),
    "silence": frozenset({"admin", "revops", "finance", "engineer"}),
    "settings": frozenset({"admin", "revops"}),
    "people": frozenset({"admin"}),
    "audit": frozenset({"admin", "finance", "viewer", "analyst"}),
}
"""`work`: hold, release, note, assign, promise, move to a queue. `rule`: which policy is in force."""

ALONE_UP_TO: dict[Act, dict[Role, int]] = {
    "write_off": {"agent": 50, "finance": 500},
    "refund": {"agent": 50},
}
"""Whole units of the currency that a role may do alone; above, somebody who may must approve. Not named: no limit."""

RETRIES_A_DAY = 1
"""Charges by hand per case in 24 hours; they count towards the networks' limits like any other."""


def may(role: str, act: Act) -> bool:
    """Whether the role may do this at all."""
    return role in MAY[act]


def alone(role: str, act: Act, minor: int, currency: str) -> bool:
    """Whether the role may do this for that amount without anybody else."""
    if role not in MAY[act]:
        return False
    most = {str(k): v for k, v in ALONE_UP_TO.get(act, {}).items()}.get(role)
    return most is None or decimal(minor, currency) <= Decimal(most)


def approvers(act: Act, minor: int, currency: str) -> tuple[Role, ...]:
    """The roles whose word is enough for that amount."""
    return tuple(r for r in ROLES if alone(r, act, minor, currency))
