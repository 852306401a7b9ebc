"""Examines how our mail stands with those who receive it: SPF, return path, DKIM, DMARC, alignment, replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from recoup.channels.dns.dkim import ENOUGH_BITS, FEWEST_BITS, DkimKey, read_key
from recoup.channels.dns.dmarc import Dmarc, read_dmarc
from recoup.channels.dns.finding import Finding, Record, fail, ok, txt, warn
from recoup.channels.dns.names import Names, Silent, organization, related
from recoup.channels.dns.senders import COMMON_SELECTORS, Sending
from recoup.channels.dns.spf_lines import spf_line

TRY_AGAIN = "look again later, or ask another name server with RECOUP_DNS"


def examine(names: Names, sending: Sending) -> Iterator[Finding]:
    """Every line about the sender's domain; one line alone where no name server answers."""
    if not names.knows(sending.from_domain):
        yield warn("Sender", f"{sending.from_domain} is a name for examples, which no receiver can look up",
                   "send from a domain of your own: from= of RECOUP_MAIL_URL or RECOUP_SMTP_URL")  # fmt: skip
        return
    try:
        yield from _lines(names, sending)
    except Silent as e:
        yield warn("DNS", str(e), TRY_AGAIN)


def _lines(names: Names, sending: Sending) -> Iterator[Finding]:
    dmarc = read_dmarc(names, sending.from_domain)
    path = _path_in_force(names, sending)
    yield _return_path(names, sending, path, dmarc)
    if path is not None:
        yield spf_line(names, sending, path)
    keys, told = _keys(names, sending)
    yield _dkim(sending, keys, told)
    yield _dmarc(dmarc)
    yield _alignment(sending, path, keys, dmarc)


def attempt(about: str, look: Callable[[], Finding]) -> Finding:
    """One line that needs an answer of its own; says so where none comes."""
    try:
        return look()
    except Silent as e:
        return warn(about, str(e), TRY_AGAIN)


def _path_in_force(names: Names, sending: Sending) -> str | None:
    """The return path's domain; None where it is the provider's own, or a name below ours that only they know."""
    path = sending.sender.path
    if path is None:
        return sending.path_domain
    for label in path.labels:
        name = f"{label}.{sending.from_domain}"
        leads = names.aliases(name) if path.how == "CNAME" else names.mail_servers(name)
        if any(f".{to.lower()}".endswith(f".{path.target}") for to in leads):
            return name
    return None


def _return_path(names: Names, sending: Sending, path: str | None, dmarc: Dmarc) -> Finding:
    about, own, shown = "Return path", sending.sender.path, sending.sender.shown
    if path is None and own is not None:
        where = f"{shown} shows under: {sending.sender.set_up}"
        if not own.labels:
            says = f"{shown} chooses its name, so it cannot be seen from here whether it is yours"
            return warn(
                about, says, f"make sure that the return path {where} is a name below {sending.from_domain}"
            )
        says = f"it is {shown}'s own, so SPF speaks for {shown} and not for {sending.from_domain}"
        fix = f"set a return path of your own ({where}) and publish, as it says there"
        return warn(about, says, fix, *own.records(sending.from_domain, sending.region))
    assert path is not None
    if not related(path, sending.from_domain, strict=dmarc.strict_spf):
        why = (
            "DMARC asks for the very same domain (aspf=s)"
            if dmarc.strict_spf
            else "they are of two organizations"
        )
        says = (
            f"undeliverable mail goes back to {path}, which does not stand for {sending.from_domain}: {why}"
        )
        fix = f"use an address at {sending.from_domain if dmarc.strict_spf else organization(sending.from_domain)}: bounces="
        return fail(about, says, fix)
    servers = names.mail_servers(path)
    if own is None and (servers == (".",) or not (servers or names.addresses(path))):
        says = f"{path} takes no mail, so what cannot be delivered is never heard of"
        return fail(about, says, "publish who takes it", _mail_server(path))
    if path == sending.from_domain:
        return ok(about, f"undeliverable mail comes back to {path}, the sender's own domain")
    return ok(about, f"undeliverable mail comes back to {path}, which can stand for {sending.from_domain}")


def _keys(names: Names, sending: Sending) -> tuple[list[DkimKey], bool]:
    """The keys that are published, and whether somebody told us which selectors are used."""
    told = sending.selectors
    candidates = told or tuple(dict.fromkeys((*sending.sender.selectors, *COMMON_SELECTORS)))
    domains = dict.fromkeys((sending.from_domain, organization(sending.from_domain)))
    found = [read_key(names, each, domain) for domain in domains for each in candidates]
    return [key for key in found if key is not None], bool(told)


def _dkim(sending: Sending, keys: list[DkimKey], told: bool) -> Finding:
    about, domain, sender = "DKIM", sending.from_domain, sending.sender
    shown = (
        f"{sender.shown} shows it under: {sender.set_up}" if sender.set_up else "your mail server signs with"
    )
    where = f"PUBLIC_KEY is the key {shown}" if not sender.set_up else f"PUBLIC_KEY: {shown}"
    if not keys and told:
        names = " and ".join(f"{each}._domainkey.{domain}" for each in sending.selectors)
        return fail(
            about, f"there is no key at {names}", f"publish it; {where}", _key(sending.selectors[0], domain)
        )
    if not keys:
        says = "no key was found under the names that are commonly used"
        fix = f"say which selector signs with RECOUP_DKIM_SELECTOR; where nothing signs yet, publish; {where}"
        return warn(about, says, fix, _key((sender.selectors or ("recoup",))[0], domain))
    usable = [key for key in keys if key.wrong is None]
    if not usable:
        return fail(about, f"{keys[0].name}: {keys[0].wrong}", f"publish it anew; {where}",
                    _key(keys[0].selector, keys[0].domain))  # fmt: skip
    best = max(usable, key=lambda k: (k.domain == domain, k.kind == "rsa", k.bits))
    anew = _key(f"{best.selector}-2", best.domain)
    if best.kind == "rsa" and best.bits < FEWEST_BITS:
        says = f"the key {best.name} has {best.bits} bits; receivers take none below {FEWEST_BITS}"
        return fail(about, says, f"make one of {ENOUGH_BITS} bits, sign with it, and publish; {where}", anew)
    if best.kind == "rsa" and best.bits < ENOUGH_BITS:
        says = f"the key {best.name} has {best.bits} bits"
        return warn(about, says, f"change to one of {ENOUGH_BITS} bits; {where}", anew)
    if best.kind != "rsa":
        says = f"the key {best.name} is {best.kind}, which many receivers cannot check yet"
        return warn(about, says, f"sign with an RSA key of {ENOUGH_BITS} bits as well; {where}", anew)
    if best.testing:
        says = f"the key {best.name} says t=y: only a test, so receivers may treat mail as unsigned"
        return warn(about, says, "take t=y out of it")
    return ok(about, f"{best.name} holds a key of {best.bits} bits")


def _key(selector: str, domain: str) -> Record:
    return txt(f"{selector}._domainkey.{domain}", "v=DKIM1; k=rsa; p=PUBLIC_KEY")


def _dmarc(own: Dmarc) -> Finding:
    about, top = "DMARC", organization(own.domain)
    box = f"mailto:dmarc-reports@{top}"
    first = txt(f"_dmarc.{top}", f"v=DMARC1; p=none; rua={box}")
    if not own.records:
        says = f"{own.domain} has no policy; large receivers refuse bulk mail without one"
        return fail(
            about,
            says,
            "publish this; when the reports show only your own mail, change to p=quarantine",
            first,
        )
    if len(own.records) > 1:
        return fail(about, f"there are {len(own.records)} policies at {own.name}, so none counts", "keep one",
                    txt(own.name, own.records[0]))  # fmt: skip
    if own.policy is None:
        return fail(about, f"the policy at {own.name} names none of none, quarantine, reject", "replace it",
                    txt(own.name, own.with_tag(p="none")))  # fmt: skip
    return _policy(own, box)


def _policy(own: Dmarc, box: str) -> Finding:
    about, below = "DMARC", own.at != own.domain
    if own.policy == "none":
        rua = (own.reports_to and f"mailto:{own.reports_to[0]}") or box
        anew = (
            txt(f"_dmarc.{own.domain}", f"v=DMARC1; p=quarantine; rua={rua}")
            if below
            else txt(own.name, own.with_tag(p="quarantine", **({} if own.reports_to else {"rua": box})))
        )
        says = "its policy is none: anybody may still write in your name and be delivered"
        return warn(about, says, "when the reports show only your own mail, publish", anew)
    if not own.reports_to:
        return warn(about, f"it asks for p={own.policy} and sends nobody reports: a fault would not be seen",
                    "say where reports go", txt(own.name, own.with_tag(rua=box)))  # fmt: skip
    if own.unwelcome:
        host = own.unwelcome[0]
        return warn(about, f"reports go to {host}, which has not said that it takes them, so none are sent",
                    f"publish at {host}", txt(f"{own.at}._report._dmarc.{host}", "v=DMARC1"))  # fmt: skip
    if own.share < 100:
        return warn(about, f"its policy holds for {own.share} % of the mail that fails", "let it hold for all",
                    txt(own.name, own.with_tag(pct="100")))  # fmt: skip
    return ok(about, f"{own.name} asks for {own.policy}, and reports go to {', '.join(own.reports_to)}")


def _alignment(sending: Sending, path: str | None, keys: list[DkimKey], dmarc: Dmarc) -> Finding:
    about, domain = "Alignment", sending.from_domain
    by_spf = path is not None and related(path, domain, strict=dmarc.strict_spf)
    usable = [key for key in keys if key.wrong is None and (key.kind != "rsa" or key.bits >= FEWEST_BITS)]
    by_dkim = any(related(key.domain, domain, strict=dmarc.strict_dkim) for key in usable)
    if by_spf and by_dkim:
        return ok(about, f"both the return path and the signature can stand for {domain}")
    if by_dkim:
        return ok(about, f"the signature can stand for {domain}; the return path does not")
    signed = "no key of DKIM was found" if not usable else "the key found stands for another domain"
    if by_spf:
        return warn(about, f"only the return path stands for {domain}: {signed}",
                    "mail that is forwarded loses it; sign with DKIM as well")  # fmt: skip
    says = f"neither the return path nor a signature is seen to stand for {domain}, so DMARC fails: {signed}"
    return fail(about, says, "mend the lines above: one of the two must be of the sender's own domain")


def reply_line(names: Names, address: str) -> Finding:
    """Whether an answer to our mail arrives. Raises `Silent`."""
    about, domain = "Replies", address.rpartition("@")[2].lower()
    if not names.knows(domain):
        return warn(about, f"{domain} is a name for examples", "name an address that somebody reads")
    servers = names.mail_servers(domain)
    if servers == (".",):
        return fail(about, f"{domain} says that it takes no mail", "name another address for questions")
    if servers:
        return ok(about, f"answers go to {domain}, whose mail {servers[0]} takes")
    if names.addresses(domain):
        return warn(
            about,
            f"{domain} names no mail server; its own address is tried",
            "publish one",
            _mail_server(domain),
        )
    return fail(about, f"{domain} takes no mail, so answers are lost", "name another address for questions, or publish",
                _mail_server(domain))  # fmt: skip


def _mail_server(domain: str) -> Record:
    return Record(name=domain, type="MX", value="10 MAIL_SERVER.")


class Worst(msgspec.Struct, frozen=True):
    """How many lines of each kind there are."""

    fails: int
    warns: int


def worst(findings: list[Finding]) -> Worst:
    """The count for a headline."""
    return Worst(sum(f.state == "fail" for f in findings), sum(f.state == "warn" for f in findings))
