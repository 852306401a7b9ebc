"""Casework: roles and limits, second persons, queues with clocks, alerts, mails to staff, the audit log."""
