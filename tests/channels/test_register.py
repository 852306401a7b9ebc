"""How the translations talk: one form of address, nobody's gender guessed, no reason a bank keeps to itself, no blame."""

import re
from datetime import UTC, datetime

import pytest

from recoup.channels import formats
from recoup.channels.languages import DOMAINS, LANGUAGES, SOURCE, begun
from tests.channels.test_languages import forms, sentences

OTHERS = [code for code in LANGUAGES if code != SOURCE]
FAMILIAR = {
    "de": r"\b(du|dir|dich|dein\w*|ihr habt|euch)\b",
    "fr": r"\b(tu|toi|ton|ta|tes)\b",
    "es": r"\b(tú|tu|tus|te|ti|contigo|vosotros)\b",
    "pt-BR": r"\b(tu|teu|tua|teus|tuas|contigo|o senhor|a senhora)\b",
    "it": r"\b(tu|tuo|tua|tuoi|tue|ti|te|scegli|clicca|scrivi)\b",
    "nl": r"\b(je|jij|jou|jouw|jullie)\b",
    "pl": r"\b(ty|twój|twoj\w*|ciebie|ci|tobie|wolisz|otrzymujesz|możesz|chcesz|powiedz)\b",
    "sv": r"\b(er|ert|era|eder)\b",
    "da": r"\b(jer|jeres)\b|(?<=[a-zæøå,] )(De|Dem|Deres)\b",
    "ja": r"あなた|君|だよ|してね",
    "ko": r"당신|너의|니다만|하세요\?",
    "zh-CN": r"你",
    "tr": r"\b(sen|senin|sana|seni)\b",
    "ar": r"(?!)",
}
"""Words of the form of address that a language's catalogues do not use."""
GUESSED = {
    "fr": r"bienvenue?\b|indiquée? comme|êtes payée?",
    "es": r"(?<!la )bienvenid[oa]|usted mismo",
    "pt-BR": r"bem-vind[oa]|você mesm[oa]",
    "it": r"benvenut[oa]|bentornat[oa]|è stat[oa] lei|lei è indicat[oa]|viene pagat[oa]",
}
"""What would be said otherwise to a woman than to a man."""
UNSAID = {
    "de": r"betrug|gestohlen|diebstahl|verlor|überfällig|mahn|inkasso|schuld|säum",
    "fr": r"fraud|volée?\b|vol\b|perdu|impayé|recouvrement|dette|en retard|faute",
    "es": r"fraud|robad|robo\b|perdid|moros|vencid|impag|deuda|culpa",
    "pt-BR": r"fraud|roubad|furt|perdid|atrasad|inadimpl|dívida|culpa",
    "it": r"\bfrod|rubat|furto|smarrit|insolut|moros|\bdebito|riscuot|riscoss|colpa",
    "nl": r"fraud|gestolen|diefstal|verloren|achterstall|\bschuld\b|incassobureau|te laat",
    "pl": r"oszust|skradz|kradzież|zgub|zaleg|dług|windyk|wina\b|winy\b",
    "sv": r"bedräg|stul|stöld|förlor|skuld|inkasso|försen",
    "da": r"bedrag|svindel|stjål|tyveri|mistet|gæld(?!er)|inkasso|restance|\brykker|skyld",
    "ja": r"詐欺|盗難|紛失|滞納|督促|債務",
    "ko": r"사기|도난|분실|연체|미납|채무|독촉",
    "zh-CN": r"欺诈|诈骗|盗|挂失|遗失|欠款|逾期|催收|拖欠",
    "tr": r"dolandır|çalın|kayıp|borç|gecik|icra",
    "ar": r"احتيال|مسروق|سرق|مفقود|متأخر|\bدين\b|ديون",
}
"""Fraud, theft, loss, and the tone of collections."""


def whole(code: str) -> list[str]:
    return [said for domain in DOMAINS for message in sentences(code, domain) for _, said in forms(message)]


def found(pattern: str, code: str) -> list[str]:
    return [
        said for said in whole(code) if re.search(pattern, said, re.IGNORECASE if "De|" not in pattern else 0)
    ]


@pytest.mark.parametrize("code", OTHERS)
def test_one_form_of_address_is_kept_throughout(code: str) -> None:
    assert found(FAMILIAR[code], code) == []


@pytest.mark.parametrize("code", list(GUESSED))
def test_nobodys_gender_is_guessed(code: str) -> None:
    assert found(GUESSED[code], code) == []


@pytest.mark.parametrize("code", OTHERS)
def test_no_translation_names_fraud_theft_loss_or_blames(code: str) -> None:
    assert found(UNSAID[code], code) == []


@pytest.mark.parametrize("code", OTHERS)
def test_a_sentence_of_messages_and_pages_is_translated_once(code: str) -> None:
    pages = {message.id: message.string for message in sentences(code, "pages")}
    for message in sentences(code, "messages"):
        assert pages.get(message.id, message.string) == message.string


def test_no_korean_particle_is_left_to_the_reader() -> None:
    assert found(r"\((으|을|를|이|가|은|는|와|과)\)", "ko") == []


def test_french_signs_never_begin_a_line() -> None:
    assert found(r" [;:?!]", "fr") == []


@pytest.mark.parametrize("code", OTHERS)
def test_no_day_begins_a_second_sentence_small(code: str) -> None:
    then = datetime(2026, 11, 10, 12, tzinfo=UTC)
    if formats.day(then, "UTC", code, language=code)[0].islower():
        assert found(r"[.!?] \{(failed|next_try|deadline|day|until)\}", code) == []


@pytest.mark.parametrize("code", [code for code in OTHERS if code not in ("ja", "ko", "zh-CN", "ar")])
def test_no_method_begins_a_second_sentence_small(code: str) -> None:
    assert found(r"[.!?] \{(method|what|label)\}", code) == []


def test_what_stands_first_begins_large() -> None:
    assert begun("your subscription") == "Your subscription"
    assert begun("iPad Plan") == "iPad Plan"
    assert begun("ödeme") == "Ödeme"
    assert begun("") == ""
