"""`recoup message`: shows every message in every language, and lays a merchant's own words over ours."""

from pathlib import Path
from typing import Annotated

import typer

from recoup.cli.faults import FOUND, Fault

app = typer.Typer(help="Shows messages, and keeps words of your own for them.", no_args_is_help=True)

Merchant = Annotated[str | None, typer.Option(help="Which merchant, where there are several.")]
Language = Annotated[
    str, typer.Argument(help="en, de, fr, es, pt-BR, it, nl, pl, sv, da, ja, ko, zh-CN, tr, ar.")
]
Key = Annotated[str, typer.Argument(help="The sentence by its name, as `recoup message list` shows it.")]


@app.command("list")
def listed(
    language: Annotated[str, typer.Option(help="In which language.")] = "en",
    merchant: Merchant = None,
    own: Annotated[bool, typer.Option("--own", help="Only where you use words of your own.")] = False,
) -> None:
    """Names every sentence and says what stands there; `*` marks your own words."""
    from recoup.channels.languages import tongue
    from recoup.channels.texts import BOOK
    from recoup.channels.wording import NOT_YOURS, BadWording, known
    from recoup.cli.opening import merchant_of, opened
    from recoup.store import wordings
    from recoup.store.engines import reading

    try:
        known(language, "every.hello")
    except BadWording as e:
        raise Fault(str(e), FOUND) from e
    with opened() as house:
        who = merchant_of(house, merchant)
        with reading(house.db) as tx:
            mine = wordings.by_language(tx, who.id).get(language, {})
    for key, text in BOOK.items():
        if key not in NOT_YOURS and (key in mine or not own):
            print(
                f"{'*' if key in mine else ' '} {key:28}  {mine.get(key) or text.translated(tongue(language))}"
            )


@app.command("set")
def set_(language: Language, key: Key, words: str, merchant: Merchant = None) -> None:
    """Keeps words of your own for one sentence in one language. Refuses what could not be sent, with the reason."""
    from recoup.channels.wording import BadWording
    from recoup.cli.opening import merchant_of, opened
    from recoup.engine import wording

    with opened() as house:
        who = merchant_of(house, merchant)
        try:
            kept = wording.save(house, who, language=language, key=key, words=words, by="staff:cli")
        except BadWording as e:
            raise Fault(f"not kept: {e}", FOUND) from e
    print(f"{who.name}, {language}, {key}: {kept}")


@app.command("unset")
def unset(language: Language, key: Key, merchant: Merchant = None) -> None:
    """Goes back to our words."""
    from recoup.channels.wording import BadWording
    from recoup.cli.opening import merchant_of, opened
    from recoup.engine import wording

    with opened() as house:
        who = merchant_of(house, merchant)
        try:
            had = wording.remove(house, who, language=language, key=key, by="staff:cli")
        except BadWording as e:
            raise Fault(str(e), FOUND) from e
    print(f"{who.name}, {language}, {key}: {'our words again' if had else 'there were no words of yours'}")


@app.command("preview")
def preview(
    kind: Annotated[
        str, typer.Argument(help="soft_notice, action_needed, reminder, final_notice, recovered, ...")
    ],
    language: Annotated[str, typer.Option(help="In which language.")] = "en",
    cause: Annotated[str, typer.Option(help="A decline category, for a sample.")] = "insufficient_funds",
    case: Annotated[str | None, typer.Option(help="A real case instead of a sample.")] = None,
    arm: Annotated[
        str | None, typer.Option(metavar="EXPERIMENT:ARM", help="As it is read in an arm of a test of words.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the HTML to this file.")] = None,
    merchant: Merchant = None,
) -> None:
    """Prints a message as plain text; with --html also writes the page."""
    from recoup.channels.facts import CAUSES, BadFacts
    from recoup.channels.wording import BadWording, known
    from recoup.channels.words import KINDS, NotToBeSaid
    from recoup.cli.faults import USAGE
    from recoup.cli.opening import merchant_of, opened
    from recoup.engine import wording

    if kind not in KINDS or cause not in CAUSES:
        wrong, right = (kind, KINDS) if kind not in KINDS else (cause, sorted(CAUSES))
        raise Fault(f"{wrong!r} is not known; use one of {', '.join(right)}", USAGE)
    with opened() as house:
        try:
            known(language, "every.hello")
            shown = wording.preview(
                house, merchant_of(house, merchant), kind, language, cause=cause, case_id=case, arm=arm
            )
        except (BadWording, BadFacts, NotToBeSaid, wording.NoSuchArm) as e:
            raise Fault(f"there is no such message: {e}", FOUND) from e
    print(f"{shown.rendered.subject}\n\n{shown.rendered.text}", end="")
    if shown.sms is not None:
        print(f"\nAs a text message:\n{shown.sms}")
    if html is not None:
        html.write_text(shown.rendered.html, encoding="utf-8")
        typer.echo(f"wrote {html}", err=True)
