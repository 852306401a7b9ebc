"""`recoup message`: every sentence has a name, own words are kept or refused with the reason, previews are whole."""

import pytest

from tests.cli.commands import Desk


@pytest.fixture(autouse=True)
def migrated(desk: Desk) -> None:
    desk.done("migrate")
    desk.merchant("acme", "--brand-name", "Acme")


def test_own_words_are_kept_listed_previewed_and_taken_back(desk: Desk) -> None:
    assert "Gute Besserung" in desk.done(
        "message", "set", "de", "recovered.title", "Gute Besserung, {merchant}"
    )
    assert "* recovered.title" in desk.done("message", "list", "--language", "de", "--own")
    shown = desk.done("message", "preview", "recovered", "--language", "de", "--html", "page.html")
    assert "Gute Besserung, Acme" in shown
    assert 'lang="de"' in (desk.home / "page.html").read_text()
    assert "our words again" in desk.done("message", "unset", "de", "recovered.title")
    assert desk.done("message", "list", "--language", "de", "--own") == ""


@pytest.mark.parametrize(
    ("words", "why"),
    [("{nothing}", "means nothing"), ("<i>x</i>", "holds HTML"), ("{", "braces do not match")],
)
def test_words_that_could_not_be_sent_are_refused(desk: Desk, words: str, why: str) -> None:
    ended = desk.run("message", "set", "en", "recovered.title", words)
    assert ended.returncode == 1
    assert why in ended.stderr


def test_an_unknown_kind_is_wrong_usage(desk: Desk) -> None:
    ended = desk.run("message", "preview", "love_letter")
    assert ended.returncode == 2
    assert "soft_notice" in ended.stderr
