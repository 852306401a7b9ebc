"""Tests of other words: checked before they begin, doubted where they were not read, and made the merchant's own."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from recoup.channels.languages import LANGUAGES, language_of, tongue
from recoup.channels.places import kinds_of
from recoup.channels.texts import BOOK
from recoup.channels.wording import BadWording, check
from recoup.domain.experiment import Arm, Plan, Texts
from recoup.store import audit, customers, wordings
from recoup.store.experiments import Registered
from recoup.store.wordings import Wording

TESTED = frozenset({"soft_notice", "action_needed", "reminder", "trial_first_charge", "win_back", "digest"})
"""The messages a test may word otherwise: not what the law demands, and nothing that no open payment hears."""
UNREAD = 0.01
"""The share of customers whose language an arm may lack: beyond it the result would be in doubt like any other leak."""
PROMOTED = "experiment.promoted"


class BadTexts(ValueError):
    """Words that an arm cannot have: which, why, and what would do."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence of the merchant's that promoting an arm would change. None: ours. `said_in`: the messages it is said in."""

    language: str
    key: str
    ours: str
    was: str | None
    becomes: str | None
    said_in: tuple[str, ...]


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """What promoting an arm would do to the merchant's own words.

    `kept`: sentences that an earlier promotion had changed and somebody has changed again since; they stay as they are.
    `before`: what stood, before any promotion, where this arm's words now stand. None: ours.
    """

    changes: tuple[Change, ...]
    kept: tuple[Change, ...]
    before: dict[str, dict[str, str | None]]


def checked(tx: Connection, merchant_id: str, arms: Sequence[Arm]) -> tuple[tuple[Arm, ...], str]:
    """The arms with their words as they may be said, and what is to be known of languages they lack. Raises `BadTexts`."""
    if not any(arm.texts for arm in arms):
        return tuple(arms), ""
    own = wordings.by_language(tx, merchant_id)
    whole = tuple(msgspec.structs.replace(arm, texts=_checked(arm)) for arm in arms)
    for arm in whole:
        if arm.texts and not any(_says(own, lang, key) != words for lang, key, words in _each(arm.texts)):
            raise BadTexts(
                f"every text of the arm {arm.name!r} is what customers read today; write another one"
            )
    read = languages_read(tx, merchant_id)
    return whole, " ".join(filter(None, (_lacking(arm, read) for arm in whole)))


def languages_read(tx: Connection, merchant_id: str) -> Counter[str]:
    """How many customers read each language, the most read first."""
    read: Counter[str] = Counter()
    for locale, n in customers.locales(tx, merchant_id):
        read[language_of(locale)] += n
    return Counter(dict(read.most_common()))


def needed(read: Mapping[str, int]) -> list[str]:
    """The languages that the words of an arm must be there in."""
    return [language for language, n in read.items() if n >= UNREAD * sum(read.values())]


def testable(key: str) -> bool:
    """Whether a test may word this sentence otherwise."""
    return bool(kinds_of(key) & TESTED)


def _checked(arm: Arm) -> Texts:
    found: Texts = {}
    for language, key, words in _each(arm.texts):
        try:
            found.setdefault(language, {})[key] = check(language, key, words)
        except BadWording as e:
            raise BadTexts(f"the arm {arm.name!r}, {language}, {key}: {e}") from e
        if not testable(key):
            raise BadTexts(
                f"the arm {arm.name!r}, {key}: it stands only in notices that everybody gets alike (last notices, notices "
                "before a debit) or that no open payment hears (receipts, expiring cards); test another sentence"
            )
    return found


def _lacking(arm: Arm, read: Mapping[str, int]) -> str:
    """What is to be known of languages whose readers are few enough to go without. Raises `BadTexts` where they are not."""
    said = []
    for key in sorted({key for _, key, _ in _each(arm.texts)}):
        lacks = [lang for lang in read if key not in arm.texts.get(lang, {})]
        much = [lang for lang in lacks if lang in needed(read)]
        if much:
            missing = ", ".join(f"{LANGUAGES[lang]} ({lang}: {read[lang]:,} customers)" for lang in much)
            raise BadTexts(
                f"the arm {arm.name!r} has no words for {key} in {missing}: they would read what everybody reads and be "
                "counted as if they had not; write it in these languages too"
            )
        said += [lang for lang in lacks if lang not in said]
    if not said:
        return ""
    few = ", ".join(f"{LANGUAGES[lang]}: {read[lang]:,}" for lang in said)
    return (
        f"The arm {arm.name!r} lacks words in languages that hardly anybody reads ({few}); they read yours."
    )


def unread(plan: Plan, readers: Iterable[tuple[str, str, str | None]]) -> dict[str, list[str]]:
    """The cases by arm whose customers read a language that their arm has no words in."""
    found: dict[str, list[str]] = {}
    spoken = {arm.name: set(arm.texts) for arm in plan.arms if arm.texts}
    for case_id, arm, locale in readers:
        if arm in spoken and language_of(locale) not in spoken[arm]:
            found.setdefault(arm, []).append(case_id)
    return found


def swap(tx: Connection, merchant_id: str, found: Registered, arm: Arm) -> Swap:
    """What making this arm's words the merchant's own would change; words an earlier promotion laid go back first."""
    own = wordings.by_language(tx, merchant_id)
    wanted: dict[tuple[str, str], str | None] = {}
    kept = []
    for language, key, put, before in _laid(tx, merchant_id, found):
        stands = own.get(language, {}).get(key)
        if stands == put:
            wanted[language, key] = before
        elif key not in arm.texts.get(language, {}):
            kept.append(_change(own, language, key, before))
    before_it: dict[str, dict[str, str | None]] = {}
    for language, key, words in _each(arm.texts):
        stood = wanted.get((language, key), own.get(language, {}).get(key))
        before_it.setdefault(language, {})[key] = stood
        wanted[language, key] = words
    changes = [_change(own, language, key, words) for (language, key), words in wanted.items()]
    return Swap(
        changes=tuple(c for c in changes if c.was != c.becomes), kept=tuple(kept), before=before_it
    )  # fmt: skip


def lay(tx: Connection, merchant_id: str, changes: Iterable[Change], *, by: str, now: datetime) -> None:
    """Makes these changes to the merchant's own words."""
    for c in changes:
        if c.becomes is None:
            wordings.drop(tx, merchant_id, c.language, c.key)
            continue
        kept = Wording(language=c.language, key=c.key, words=c.becomes, changed_at=now, changed_by=by)
        wordings.keep(tx, merchant_id, kept)


def _laid(tx: Connection, merchant_id: str, found: Registered) -> list[tuple[str, str, str, str | None]]:
    """What the arm that was promoted last laid over: language, sentence, its words, and what stood there before."""
    entry = audit.last(tx, merchant_id, what=PROMOTED, subject=found.plan.id)
    if entry is None or found.promoted is None:
        return []
    before = msgspec.json.decode(entry.body, type=dict[str, object]).get("before_texts", {})
    stood = msgspec.convert(before, dict[str, dict[str, str | None]])
    put = found.plan.arm(found.promoted).texts
    return [(lang, key, words, stood.get(lang, {}).get(key)) for lang, key, words in _each(put)]


def _change(own: Mapping[str, Mapping[str, str]], language: str, key: str, becomes: str | None) -> Change:
    return Change(
        language=language, key=key, ours=BOOK[key].translated(tongue(language)),
        was=own.get(language, {}).get(key), becomes=becomes,
        said_in=tuple(sorted(kinds_of(key))),
    )  # fmt: skip


def _each(texts: Texts) -> list[tuple[str, str, str]]:
    return [(language, key, words) for language, by_key in texts.items() for key, words in by_key.items()]


def _says(own: Mapping[str, Mapping[str, str]], language: str, key: str) -> str:
    """What customers read there today."""
    return own.get(language, {}).get(key) or BOOK[key].translated(tongue(language))
