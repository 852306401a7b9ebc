"""Chooses what a message says: from the step and the facts to finished sentences, still without any markup."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from recoup.channels import formats, texts
from recoup.channels.clean import clean
from recoup.channels.facts import BadFacts, MessageFacts
from recoup.channels.languages import Tongue, begun, tongue
from recoup.channels.texts import Text

KINDS = (
    "soft_notice", "action_needed", "reminder", "final_notice", "recovered", "card_expiring", "trial_first_charge",
    "win_back", "digest", "pre_debit_notice",
)  # fmt: skip
"""Every message there is. A step of any other name speaks by its cause."""
ASKING = frozenset({"soft_notice", "action_needed", "reminder", "final_notice", "trial_first_charge"})
"""The messages about one failed payment."""
NAMES_NO_AMOUNT = frozenset({"card_expiring", "win_back", "digest"})
# Causes nobody but the customer can cure, so a step of the merchant's own naming asks instead of informing.
NEEDS_CUSTOMER = frozenset(texts.ASKS)
# Languages whose sentences would have to bend the weekday's name; there the day is told without it.
_NO_WEEKDAY = frozenset({"pl", "pt-BR"})
_CARDS = ("card", "wallet")
RAILS = frozenset({*texts.SCHEMES, *_CARDS})
"""What a notice before a debit can name as the way the money goes."""
_DAYS = ("{failed}", "{next_try}", "{deadline}")

Wording = Mapping[str, str]
"""A merchant's own words for one language, by the name of the sentence they replace."""


class NotToBeSaid(ValueError):
    """This case must not be written about automatically; hand it to a person."""


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A finished message as plain sentences; HTML and text are both made from these and nothing else."""

    subject: str
    preheader: str
    title: str
    greeting: str
    paragraphs: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    button: str | None
    closing: tuple[str, ...]
    strong: int = 0
    """Which row is the one that matters most."""


class _Core(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    title: str
    paragraphs: list[str]
    button: str | None
    preview: int = 0  # which paragraph the inbox shows beside the subject


class Voice:
    """Says sentences with the values of one message, in the reader's language and the merchant's own words."""

    def __init__(self, facts: MessageFacts, wording: Wording | None = None) -> None:
        self.facts = facts
        self.tongue: Tongue = tongue(facts.locale)
        self.wording: Wording = wording or {}
        self.said: list[str] = []
        label = self.own(facts.method_label, "method_label")
        self.next_label = self.own(facts.next_label, "method_label")
        self.values = {
            "merchant": self.own(facts.merchant, "merchant"),
            "customer": self.own(facts.customer, "customer"),
            "what": self.own(facts.what, "what"),
            "support": self._apart(facts.support),
            "label": label,
            "failed": self.day(facts.failed_at),
        }
        if facts.amount_minor is not None:
            self.values["amount"] = self.money(facts.amount_minor, facts.currency)
        if facts.before_minor is not None:
            self.values["before"] = self.money(facts.before_minor, facts.currency)
        self.values["method"] = self(texts.YOUR_METHOD if label else texts.SOME_METHOD)
        scheme = texts.SCHEMES.get(facts.rail or "")
        if scheme is not None:
            self.values["scheme"] = self(scheme)
        if facts.next_try_at is not None:
            self.values["next_try"] = self.day(facts.next_try_at)
        if facts.expires is not None:
            self.values["expires"] = formats.month(facts.expires, facts.locale, self.tongue.code)
        if facts.items:
            self.values["total"] = self._total()
            self.values["count"] = str(len(facts.items))
        if facts.deadline is not None:
            self.values["deadline"] = self.until(facts.deadline)

    def __call__(self, said: Text, **more: str) -> str:
        # Only sentences of ours, and a merchant's checked ones, are ever format strings; other words are filled in.
        self.said.append(said.key)
        values = {**self.values, **more} if more else self.values
        chosen = self.wording.get(said.key) or said.translated(self.tongue, len(self.facts.items))
        try:
            finished = chosen.format_map(values)
        except (
            KeyError,
            ValueError,
        ):  # words kept for an earlier sentence of ours: ours then, rather than none
            chosen = said.translated(self.tongue, len(self.facts.items))
            finished = chosen.format_map(values)
        # A day at the beginning of a sentence: its weekday is written small in many languages.
        return begun(finished) if chosen.startswith(_DAYS) else finished

    def together(self, *sentences: str) -> str:
        """Sentences as one paragraph."""
        return self.tongue.gap.join(sentences)

    def own(self, text: str | None, field: str) -> str:
        """What somebody else wrote: cleaned, and kept from turning the sentence around it."""
        return self._apart(clean(text, field))

    def money(self, minor: int, currency: str) -> str:
        """An amount the way the reader writes it."""
        return formats.money(minor, currency, self.facts.locale, self.tongue.code)

    def day(self, instant: datetime, *, sentence: bool = True) -> str:
        """The reader's own day of `instant`; in a `sentence` without its weekday where grammar forbids it."""
        facts, code = self.facts, self.tongue.code
        return formats.day(
            instant, facts.timezone, facts.locale, beside=facts.failed_at, language=code,
            weekday=not sentence or code not in _NO_WEEKDAY,
        )  # fmt: skip

    def until(self, deadline: datetime, *, sentence: bool = True) -> str:
        """The last day and, where needed, time that may be promised."""
        facts, code = self.facts, self.tongue.code
        day, clock = formats.until(
            deadline, facts.timezone, facts.locale, beside=facts.failed_at, language=code,
            weekday=not sentence or code not in _NO_WEEKDAY,
        )  # fmt: skip
        return self(texts.DAY_AND_TIME, day=day, time=clock) if clock else day

    def _total(self) -> str:
        sums: dict[str, int] = {}
        for item in self.facts.items:
            sums[item.currency] = sums.get(item.currency, 0) + item.amount_minor
        return " + ".join(self.money(minor, currency) for currency, minor in sums.items())

    def _apart(self, text: str) -> str:
        # First-strong isolates: a Latin name inside Arabic keeps its own order and leaves the sentence its.
        return f"\u2068{text}\u2069" if text and self.tongue.direction == "rtl" else text


def kind_of(step: str, facts: MessageFacts) -> str:
    """Which message `step` is.

    A step of another name speaks by its cause. A soft notice that can promise no next try, for a cause only
    the customer can cure, asks: telling somebody with an expired card to wait would be untrue.
    """
    needs_customer = facts.cause in NEEDS_CUSTOMER
    if step == "soft_notice" or step not in KINDS:
        waits = facts.next_try_at is not None and step == "soft_notice"
        return "action_needed" if needs_customer and not waits else "soft_notice"
    return step


def choose_words(step: str, facts: MessageFacts, wording: Wording | None = None) -> Words:
    """The sentences of `step` for these facts, in the reader's language; `wording` is the merchant's own.

    Raises NotToBeSaid for `payer_deceased`, whatever the step, and BadFacts where the kind needs what is not there.
    """
    return _chosen(step, facts, wording)[0]


def said_in(step: str, facts: MessageFacts, wording: Wording | None = None) -> tuple[str, ...]:
    """The names of the sentences a message is made of, subject first."""
    say = _chosen(step, facts, wording)[1]
    return tuple(dict.fromkeys(sorted(say.said, key=lambda key: ".subject" not in key)))


def _chosen(step: str, facts: MessageFacts, wording: Wording | None) -> tuple[Words, Voice]:
    if facts.cause == "payer_deceased":
        raise NotToBeSaid("no automatic message may go out for this cause; hand the case to a person")
    kind = kind_of(step, facts)
    needs(kind, facts)
    say = Voice(facts, wording)
    core = _CORES[kind](say)
    values = say.values
    why = {"owner": texts.WHY_OWNER, "billing": texts.WHY_BILLING}.get(facts.reader, texts.WHY_YOU)
    words = Words(
        subject=say(texts.DASH, subject=core.subject)
        if values["merchant"] not in core.subject
        else core.subject,
        preheader=core.paragraphs[core.preview],
        title=core.title,
        greeting=say(texts.HELLO_NAME if values["customer"] else texts.HELLO),
        paragraphs=tuple(core.paragraphs),
        rows=_rows(say, kind),
        button=core.button,
        closing=(say(texts.QUESTIONS), say(why)),
        strong=len(facts.items) if kind == "digest" else 0,
    )
    return words, say


def needs(kind: str, facts: MessageFacts) -> None:
    """Raises BadFacts where this kind of message needs a fact that is not there."""
    if kind not in NAMES_NO_AMOUNT and facts.amount_minor is None:
        raise BadFacts(f"amount_minor is missing; a {kind} names the amount")
    if kind == "digest" and len(facts.items) < 2:
        raise BadFacts("items must be two or more; a digest tells of several payments")
    if kind == "card_expiring" and facts.expires is None:
        raise BadFacts("expires is missing; a card_expiring names the month")
    if kind == "pre_debit_notice" and (facts.next_try_at is None or facts.rail not in RAILS):
        raise BadFacts(
            "next_try_at and a card's or bank debit's rail are needed; a pre_debit_notice names day and way"
        )


def _told(say: Voice, said: Text) -> str:
    """What became of the payment: of the sum that was refused then; once a part is paid, what of it is open."""
    facts = say.facts
    tried, paid, amount = facts.tried_minor, facts.paid_minor, facts.amount_minor
    if tried is None or amount is None:
        return say(said)
    if paid is None:
        return say(said, amount=say.money(tried, facts.currency))
    whole = say.money(amount + paid, facts.currency)
    return say(texts.PART_PAID, whole=whole, paid=say.money(paid, facts.currency))


def _happened(say: Voice) -> str:
    """The first paragraph: what became of the payment, by cause and by rail."""
    cause = say.facts.cause
    if cause in texts.ASKS:
        return _told(say, texts.ASKS[cause].happened)
    plain = texts.HAPPENED.get(cause, texts.BANK_SAID_NO)
    banks = plain in (texts.BANK_SAID_NO, texts.LIMIT_REACHED)
    return _told(say, texts.DEBIT_RETURNED if banks and "scheme" in say.values else plain)


def _again(say: Voice, said: Text) -> str:
    """What is said of the next try, with the method that is tried then."""
    return say(said, method=say(texts.YOUR_METHOD, label=say.next_label)) if say.next_label else say(said)


def _soft(say: Voice) -> _Core:
    facts, retry = say.facts, say.facts.next_try_at is not None
    own_day = facts.cause in texts.DAY_MAY_CURE
    if retry:
        debit = "scheme" in say.values and facts.cause not in texts.ASKS
        wait = [
            _again(say, texts.SOFT_DEBIT_AGAIN if debit else texts.SOFT_NOTHING_TO_DO),
            say(texts.SOFT_PICK_DAY if own_day else texts.SOFT_OR_NOW),
        ]
    else:
        wait = [say(texts.SOFT_WAIT)]
    return _Core(
        subject=say(texts.SOFT_SUBJECT_RETRY if retry else texts.SOFT_SUBJECT),
        title=say(texts.SOFT_TITLE_RETRY if retry else texts.SOFT_TITLE),
        paragraphs=[_happened(say), *wait],
        button=say(texts.PICK_DAY if own_day and retry else texts.PAY_NOW),
        preview=1,
    )


def _action(say: Voice) -> _Core:
    ask = texts.ASKS.get(say.facts.cause, texts.SETTLE_YOURSELF)
    return _Core(
        subject=say(ask.subject),
        title=say(ask.title),
        paragraphs=[_happened(say), say(ask.ask), *_meanwhile(say)],
        button=say(ask.button),
    )


def _meanwhile(say: Voice) -> list[str]:
    facts = say.facts
    tries = facts.next_try_at is not None and facts.cause not in NEEDS_CUSTOMER
    until = say(texts.UNTIL if facts.deadline is not None else texts.NOTHING_CANCELLED)
    return [*([_again(say, texts.ALSO_RETRY)] if tries else []), until]


def _reminder(say: Voice) -> _Core:
    cause = say.facts.cause
    ask = texts.ASKS.get(cause, texts.SETTLE_YOURSELF)
    own_day = cause in texts.DAY_MAY_CURE and say.facts.next_try_at is not None
    return _Core(
        subject=say(texts.REMINDER_SUBJECT),
        title=say(texts.REMINDER_TITLE),
        paragraphs=[
            _told(say, texts.REMINDER_HAPPENED),
            say(texts.SOFT_PICK_DAY if own_day else ask.ask),
            *_meanwhile(say),
        ],
        button=say(texts.PICK_DAY if own_day else ask.button),
    )


def _trial(say: Voice) -> _Core:
    cause = say.facts.cause
    known = texts.ASKS.get(cause)
    return _Core(
        subject=say(texts.TRIAL_SUBJECT),
        title=say(texts.TRIAL_TITLE),
        paragraphs=[
            _told(say, texts.TRIAL_HAPPENED),
            say(known.ask if known else texts.TRIAL_ASK),
            *_meanwhile(say),
            say(texts.TRIAL_LEAVE),
        ],
        button=say(known.button if known else texts.PAY_NOW),
        preview=1,
    )


def _final(say: Voice) -> _Core:
    facts = say.facts
    dated = facts.deadline is not None
    after = (texts.AFTER if dated else texts.AFTER_OPEN).get(facts.deadline_action or "")
    paragraphs = [_told(say, texts.FINAL_HAPPENED)]
    if dated:
        paragraphs.append(say.together(say(texts.UNTIL), *([say(after)] if after else [])))
    elif after:
        paragraphs.append(say(after))
    paragraphs += [say.together(say(texts.FINAL_ASK), say(texts.FINAL_TALK)), say(texts.FINAL_ALREADY)]
    return _Core(
        subject=say(texts.FINAL_SUBJECT if dated else texts.FINAL_SUBJECT_OPEN),
        title=say(texts.FINAL_TITLE if dated else texts.FINAL_TITLE_OPEN),
        paragraphs=paragraphs,
        button=say(texts.PAY_NOW),
        preview=1,
    )


def _recovered(say: Voice) -> _Core:
    return _Core(
        subject=say(texts.RECOVERED_SUBJECT),
        title=say(texts.RECOVERED_TITLE),
        paragraphs=[say(texts.RECOVERED_BODY), say(texts.RECOVERED_KEEP)],
        button=None,
    )


def _expiring(say: Voice) -> _Core:
    return _Core(
        subject=say(texts.EXPIRING_SUBJECT),
        title=say(texts.EXPIRING_TITLE),
        paragraphs=[say(texts.EXPIRING_HAPPENED), say(texts.EXPIRING_ASK)],
        button=say(texts.EXPIRING_BUTTON),
    )


def _win_back(say: Voice) -> _Core:
    return _Core(
        subject=say(texts.WIN_BACK_SUBJECT),
        title=say(texts.WIN_BACK_TITLE),
        paragraphs=[say(texts.WIN_BACK_HAPPENED), say(texts.WIN_BACK_ASK)],
        button=say(texts.WIN_BACK_BUTTON),
        preview=1,
    )


def _digest(say: Voice) -> _Core:
    return _Core(
        subject=say(texts.DIGEST_SUBJECT),
        title=say(texts.DIGEST_TITLE),
        paragraphs=[say(texts.DIGEST_HAPPENED), say(texts.DIGEST_ASK), _meanwhile(say)[-1]],
        button=say(texts.DIGEST_BUTTON),
    )


def _notice(say: Voice) -> _Core:
    by_card = say.facts.rail in _CARDS
    return _Core(
        subject=say(texts.NOTICE_SUBJECT),
        title=say(texts.NOTICE_TITLE),
        paragraphs=[
            say(texts.NOTICE_CARD if by_card else texts.NOTICE_HAPPENED),
            *([say(texts.NOTICE_CHANGED)] if say.facts.before_minor is not None else []),
            say(texts.NOTICE_ASK_CARD if by_card else texts.NOTICE_ASK),
            say(texts.NOTICE_TALK),
        ],
        button=say(texts.NOTICE_BUTTON),
    )


_CORES = {
    "soft_notice": _soft, "action_needed": _action, "reminder": _reminder, "final_notice": _final,
    "recovered": _recovered, "card_expiring": _expiring, "trial_first_charge": _trial, "win_back": _win_back,
    "digest": _digest, "pre_debit_notice": _notice,
}  # fmt: skip


def _rows(say: Voice, kind: str) -> tuple[tuple[str, str], ...]:
    facts, values = say.facts, say.values
    if kind == "digest":
        items = [(say.own(i.what, "what"), say.money(i.amount_minor, i.currency)) for i in facts.items]
        return (*items, (say(texts.ROW_TOTAL), values["total"]))
    rows = [(texts.ROW_AMOUNT, values["amount"])] if "amount" in values else []
    rows.append((texts.ROW_WHAT, values["what"]))
    if values["label"] and kind != "win_back":
        rows.append((texts.ROW_METHOD, values["label"]))
    rows += _days(say, kind)
    if kind == "pre_debit_notice":
        for label, reference in ((texts.ROW_MANDATE, facts.mandate), (texts.ROW_CREDITOR, facts.creditor)):
            if reference:
                rows.append((label, say.own(reference, "reference")))
    if facts.reference and kind not in ("card_expiring", "win_back"):
        rows.append((texts.ROW_REFERENCE, say.own(facts.reference, "reference")))
    return tuple((say(label), value) for label, value in rows)


def _days(say: Voice, kind: str) -> list[tuple[Text, str]]:
    """The rows that name a day."""
    facts = say.facts
    next_try = say.day(facts.next_try_at, sentence=False) if facts.next_try_at is not None else None
    if kind == "recovered":
        return [(texts.ROW_PAID, say.day(facts.paid_at, sentence=False))] if facts.paid_at else []
    if kind == "win_back":
        return []
    if kind == "card_expiring":
        expires = [(texts.ROW_EXPIRES, say.values["expires"])]
        return [*expires, *([(texts.ROW_NEXT_PAYMENT, next_try)] if next_try else [])]
    if kind == "pre_debit_notice":
        return [(texts.ROW_COLLECTED, next_try)] if next_try else []
    rows = [(texts.ROW_NEXT, next_try)] if next_try and kind == "soft_notice" else []
    if facts.deadline is not None:
        rows.append((texts.ROW_DEADLINE, say.until(facts.deadline, sentence=False)))
    return rows
