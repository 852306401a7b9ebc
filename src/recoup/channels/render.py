"""Renders a message: sentences into one HTML page and its plain-text twin."""

from __future__ import annotations

import functools
from importlib import resources

import mjml
from jinja2 import Environment, StrictUndefined, Template

from recoup.channels import texts
from recoup.channels.clean import clean
from recoup.channels.colours import palette
from recoup.channels.facts import MessageFacts
from recoup.channels.port import Rendered
from recoup.channels.words import Voice, Wording, Words, choose_words


def render(step: str, facts: MessageFacts, wording: Wording | None = None) -> Rendered:
    """Subject, preview line, HTML and text of the message `step` for `facts`, in the reader's language.

    `step` is one of `words.KINDS` or a name of the merchant's own, which speaks by its cause. `wording` is the
    merchant's own words for that language. Pure: the same arguments give the same bytes. Raises NotToBeSaid and
    BadFacts.
    """
    words = choose_words(step, facts, wording)
    say = Voice(facts, wording)
    merchant = clean(facts.merchant, "merchant")
    support = say.values["support"]
    before, _, after = words.closing[0].partition(support)
    html = _page().render(
        words=words,
        facts=facts,
        merchant=merchant,
        colours=palette(facts.accent.lower()),
        speaks=say.tongue,
        link_text=say(texts.LINK_TEXT),
        preferences=say(texts.PREFERENCES),
        test_banner=say(texts.TEST_BANNER),
        questions=(before, facts.support, after),
    )
    return Rendered(subject=words.subject, preheader=words.preheader, html=html, text=_text(words, say))


def compile_page() -> str:
    """The HTML template made from the MJML source, its Jinja placeholders intact.

    `fonts={}`: left alone, the compiler links a web font from a third party, which would report every
    opened message to it.
    """
    source = resources.files("recoup.channels").joinpath("templates", "message.mjml").read_text("utf-8")
    return str(mjml.mjml2html(source, disable_comments=False, fonts={}))


@functools.cache
def _page() -> Template:
    # The one template is ours, and what others wrote is only ever filled in: a sandbox would guard nothing, at twice the time.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(compile_page())


def _text(words: Words, say: Voice) -> str:
    facts = say.facts
    blocks = [f"[{say(texts.TEST_BANNER)}]"] if facts.test else []
    blocks += [words.title, words.greeting, *words.paragraphs]
    if words.button is not None:
        blocks.append(f"{say(texts.LINK_LEAD, button=words.button)}\n{facts.pay_url}")
    blocks.append("\n".join(f"{label}: {value}" for label, value in words.rows))
    blocks.append("\n".join(("-- ", say.values["merchant"], *words.closing)))
    if facts.preferences_url is not None:
        blocks.append(f"{say(texts.PREFERENCES)}: {facts.preferences_url}")
    return "\n\n".join(blocks) + "\n"
