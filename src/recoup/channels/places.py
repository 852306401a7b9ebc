"""In which messages each sentence is said: found out by writing every message about every kind of case."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import msgspec

from recoup.channels import texts
from recoup.channels.facts import CAUSES, MessageFacts
from recoup.channels.samples import sample_facts
from recoup.channels.short import render_sms, sms_text
from recoup.channels.words import KINDS, NotToBeSaid, kind_of, said_in
from recoup.domain.decision import Ending

_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
# What every letter says around its words, whatever it is about.
_AROUND = (texts.LINK_TEXT, texts.LINK_LEAD, texts.PREFERENCES, texts.TEST_BANNER)


def kinds_of(key: str) -> frozenset[str]:
    """The kinds of message (`words.KINDS`) that may say this sentence, by whichever channel."""
    return _places().get(key, frozenset())


@functools.cache
def _places() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for kind in KINDS:
        for facts in _every(kind):
            for key in (*said_in(kind, facts), *_as_text(kind, facts)):
                found[key].add(kind_of(kind, facts))
    for around in _AROUND:
        found[around.key].update(KINDS)
    return {key: frozenset(kinds) for key, kinds in found.items()}


def _as_text(kind: str, facts: MessageFacts) -> tuple[str, ...]:
    try:
        render_sms(kind, facts, "https://example.com/s/sample", replies=True)
        return sms_text(kind, facts).key, texts.SMS_STOP.key
    except NotToBeSaid:
        return ()


def _every(kind: str) -> Iterator[MessageFacts]:
    """Facts of every kind of case, as far as the sentences differ by them."""
    for cause in sorted(CAUSES - {"payer_deceased"}):
        plain = sample_facts(
            kind, "en", cause, _NOON, merchant="Acme", support="help@acme.example", pay_url="https://example.com/pay/sample",
            preferences_url="https://example.com/u/sample",
        )  # fmt: skip
        for next_try in (_NOON + timedelta(days=4), None):
            if next_try is None and kind == "pre_debit_notice":
                continue
            for deadline in (_NOON + timedelta(days=14), None):
                yield msgspec.structs.replace(plain, next_try_at=next_try, deadline=deadline)
        if cause == "insufficient_funds":
            yield from _others(plain)


def _others(plain: MessageFacts) -> Iterator[MessageFacts]:
    for ending in get_args(Ending):
        for deadline in (plain.deadline, None):
            yield msgspec.structs.replace(plain, deadline_action=ending, deadline=deadline)
    for rail in texts.SCHEMES:
        yield msgspec.structs.replace(plain, rail=rail)
    for reader in ("billing", "owner"):
        yield msgspec.structs.replace(plain, reader=reader)
    yield msgspec.structs.replace(plain, rail="card", before_minor=2 * (plain.amount_minor or 1))
    yield msgspec.structs.replace(plain, tried_minor=plain.amount_minor, paid_minor=plain.amount_minor)
    yield msgspec.structs.replace(plain, customer=None, method_label=None)
    yield msgspec.structs.replace(plain, mandate="MNDT-1", creditor="DE98ZZZ09999999999")
