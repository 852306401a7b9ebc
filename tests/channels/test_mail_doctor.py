"""The mail doctor against a real name server with crafted zones: right, missing, too much, twice, weak, misaligned."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from recoup.channels.dns.doctor import examine, reply_line
from recoup.channels.dns.finding import Finding
from recoup.channels.dns.names import Names, Silent, organization, related
from recoup.channels.dns.senders import Sending, sending_of
from recoup.channels.dns.spf import read_spf
from recoup.channels.mail_url import parse_mail_url
from tests.support.name_server import NameServer, name_server

OWN = "smtp://u:p@mail.acme.example:587?from=billing@acme.example"


def public_key(bits: int) -> str:
    raw = (
        rsa.generate_private_key(public_exponent=65537, key_size=bits)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return base64.b64encode(raw).decode()


STRONG, MIDDLING = public_key(2048), public_key(1024)
WEAK = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL3Fq1pg2yYkXlQ0VqqOZzSk4f1iEH2dJRYfoo1HGmy+6rTw7sZr3dEWOmVC4Rk0gwdd0Yh5V8nZ5o6TnG0DZ/MCAwEAAQ=="


@pytest.fixture
def server() -> Iterator[NameServer]:
    with name_server() as made:
        made.zone = right()
        yield made


def right() -> dict[str, dict[str, list[str]]]:
    """A zone in which everything is in order."""
    return {
        "acme.example": {
            "TXT": ["v=spf1 ip4:192.0.2.10 -all", "some-other=verification"],
            "MX": ["10 mail.acme.example."],
        },
        "mail.acme.example": {"A": ["192.0.2.10"]},
        "s1._domainkey.acme.example": {"TXT": [f"v=DKIM1; k=rsa; p={STRONG}"]},
        "_dmarc.acme.example": {"TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@acme.example"]},
    }


def look(server: NameServer, url: str = OWN, selectors: tuple[str, ...] = ()) -> dict[str, Finding]:
    found = list(examine(Names(server.address), sending(url, selectors)))
    assert len({f.about for f in found}) == len(found)
    return {f.about: f for f in found}


def sending(url: str, selectors: tuple[str, ...] = ()) -> Sending:
    own = parse_mail_url(url)
    assert own is not None
    return sending_of(own, selectors)


def records(finding: Finding) -> list[str]:
    return [str(r) for r in finding.records]


def test_a_zone_in_order_has_nothing_to_add(server: NameServer) -> None:
    found = look(server)
    assert {f.state for f in found.values()} == {"ok"}, found
    assert set(found) == {"SPF", "Return path", "DKIM", "DMARC", "Alignment"}
    assert "0 of 10 look-ups" in found["SPF"].says
    assert "2048 bits" in found["DKIM"].says


def test_an_empty_zone_is_told_what_to_publish(server: NameServer) -> None:
    server.zone = {
        "mail.acme.example": {"A": ["192.0.2.10"]},
        "acme.example": {"MX": ["10 mail.acme.example."]},
    }
    found = look(server)
    assert records(found["SPF"]) == ['acme.example. TXT "v=spf1 ip4:192.0.2.10 ~all"']
    assert records(found["DMARC"]) == [
        '_dmarc.acme.example. TXT "v=DMARC1; p=none; rua=mailto:dmarc-reports@acme.example"'
    ]
    states = {about: f.state for about, f in found.items()}
    assert states == {
        "SPF": "fail",
        "Return path": "ok",
        "DKIM": "warn",
        "DMARC": "fail",
        "Alignment": "warn",
    }


def test_two_spf_records_are_made_one(server: NameServer) -> None:
    server.zone["acme.example"]["TXT"] = [
        "v=spf1 include:_spf.one.example ~all",
        "v=spf1 ip4:192.0.2.10 mx -all",
    ]
    line = look(server)["SPF"]
    assert line.state == "fail"
    assert records(line) == ['acme.example. TXT "v=spf1 include:_spf.one.example ip4:192.0.2.10 mx -all"']


def test_too_many_look_ups_are_counted_and_named(server: NameServer) -> None:
    server.zone["acme.example"]["TXT"] = ["v=spf1 include:a.example include:b.example ip4:192.0.2.10 mx -all"]
    server.zone["a.example"] = {
        "TXT": ["v=spf1 " + " ".join(f"include:a{n}.example" for n in range(5)) + " -all"]
    }
    server.zone |= {f"a{n}.example": {"TXT": ["v=spf1 ip4:198.51.100.0/24 -all"]} for n in range(5)}
    server.zone["b.example"] = {"TXT": ["v=spf1 exists:x.a.example a:mail.acme.example -all"]}
    found = read_spf(Names(server.address), "acme.example")
    assert (found.lookups, found.cost) == (
        10,
        (("include:a.example", 6), ("include:b.example", 3), ("mx", 1)),
    )
    assert look(server)["SPF"].state == "ok", "ten are allowed"
    server.zone["acme.example"]["TXT"] = [server.zone["acme.example"]["TXT"][0].replace(" mx", " mx a")]
    line = look(server)["SPF"]
    assert line.state == "fail"
    assert "takes 11 look-ups" in line.says
    assert "include:a.example 6, include:b.example 3" in line.says
    assert records(line) == ['billing.acme.example. TXT "v=spf1 ip4:192.0.2.10 ~all"']


@pytest.mark.parametrize(
    ("record", "state", "words", "anew"),
    [
        ("v=spf1 ip4:203.0.113.1 -all", "fail", "does not name your mail server (192.0.2.10)",
         "v=spf1 ip4:203.0.113.1 ip4:192.0.2.10 -all"),
        ("v=spf1 mx +all", "fail", "anybody may send", "v=spf1 mx ~all"),
        ("v=spf1 a:mail.acme.example", "warn", "nothing about everybody else", "v=spf1 a:mail.acme.example ~all"),
        ("v=spf1 ip4:192.0.2.10 ?all", "warn", "nothing about everybody else", "v=spf1 ip4:192.0.2.10 ~all"),
        ("v=spf1 mx ptr -all", "warn", "uses ptr", "v=spf1 mx -all"),
        ("v=spf1 ipv4:192.0.2.10 -all", "fail", "is no term of SPF", "v=spf1 ip4:192.0.2.10 -all"),
        ("v=spf1 include:gone.example mx -all", "fail", "gone.example, which has no SPF record", "v=spf1 mx ip4:192.0.2.10 -all"),
        ("v=spf1 include:loop.example mx -all", "fail", "includes itself", None),
        ("v=spf1 a:n1.example a:n2.example a:n3.example mx -all", "fail", "3 of its look-ups find nothing", None),
        ("v=spf1 redirect=else.example", "ok", "names your mail server", None),
        ("v=spf1 -ip4:192.0.2.10 mx:other.example ~all", "fail", "does not name", "v=spf1 -ip4:192.0.2.10 mx:other.example ip4:192.0.2.10 ~all"),
        ("v=spf1 a:mail.acme.example/24 unknown=modifier -all", "ok", "1 of 10", None),
    ],
)  # fmt: skip
def test_each_fault_of_spf_has_its_record(
    server: NameServer, record: str, state: str, words: str, anew: str | None
) -> None:
    server.zone["acme.example"]["TXT"] = [record]
    server.zone["loop.example"] = {"TXT": ["v=spf1 include:loop2.example -all"]}
    server.zone["loop2.example"] = {"TXT": ["v=spf1 include:loop.example -all"]}
    server.zone["else.example"] = {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}
    server.zone["other.example"] = {"MX": ["10 mx.other.example."]}
    server.zone["mx.other.example"] = {"A": ["203.0.113.7"]}
    line = look(server)["SPF"]
    assert (line.state, words in line.says) == (state, True), line
    if anew is not None:
        assert records(line) == [f'acme.example. TXT "{anew}"']


@pytest.mark.parametrize(
    ("record", "state", "words"),
    [
        (f"v=DKIM1; k=rsa; p={MIDDLING}", "warn", "1024 bits"),
        (f"k=rsa; p={WEAK}", "fail", "512 bits"),
        ("v=DKIM1; k=rsa; p=", "fail", "revoked"),
        ("v=DKIM1; k=rsa; p=MIIBnotakey", "fail", "no key that can be read"),
        (f"v=DKIM1; k=rsa; t=y:s; p={STRONG}", "warn", "only a test"),
    ],
)
def test_keys_are_weighed(server: NameServer, record: str, state: str, words: str) -> None:
    server.zone["s1._domainkey.acme.example"]["TXT"] = [record]
    line = look(server)["DKIM"]
    assert (line.state, words in line.says) == (state, True), line


def test_a_key_of_another_kind_wants_an_rsa_key_beside_it(server: NameServer) -> None:
    raw = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    new = f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"
    server.zone["s1._domainkey.acme.example"]["TXT"] = [new]
    assert "ed25519" in look(server)["DKIM"].says
    server.zone["s2._domainkey.acme.example"] = {"TXT": [f"v=DKIM1; p={STRONG}"]}
    assert look(server)["DKIM"].state == "ok"


def test_a_selector_that_is_told_is_the_only_one_looked_at(server: NameServer) -> None:
    line = look(server, selectors=("acme2026",))["DKIM"]
    assert line.state == "fail"
    assert records(line) == ['acme2026._domainkey.acme.example. TXT "v=DKIM1; k=rsa; p=PUBLIC_KEY"']
    server.zone["acme2026._domainkey.acme.example"] = {"CNAME": ["key.host.example."]}
    server.zone["key.host.example"] = {"TXT": [f"v=DKIM1; k=rsa; p={STRONG}"]}
    assert look(server, selectors=("acme2026",))["DKIM"].state == "ok"


@pytest.mark.parametrize(
    ("record", "state", "words", "anew"),
    [
        ("v=DMARC1; p=none; rua=mailto:d@acme.example; adkim=r", "warn", "policy is none",
         '_dmarc.acme.example. TXT "v=DMARC1; p=quarantine; rua=mailto:d@acme.example; adkim=r"'),
        ("v=DMARC1; p=none", "warn", "policy is none",
         '_dmarc.acme.example. TXT "v=DMARC1; p=quarantine; rua=mailto:dmarc-reports@acme.example"'),
        ("v=DMARC1; p=quarantine", "warn", "sends nobody reports",
         '_dmarc.acme.example. TXT "v=DMARC1; p=quarantine; rua=mailto:dmarc-reports@acme.example"'),
        ("v=DMARC1; p=reject; pct=20; rua=mailto:d@acme.example", "warn", "20 %",
         '_dmarc.acme.example. TXT "v=DMARC1; p=reject; pct=100; rua=mailto:d@acme.example"'),
        ("v=DMARC1; p=rejekt; rua=mailto:d@acme.example", "fail", "names none of",
         '_dmarc.acme.example. TXT "v=DMARC1; p=none; rua=mailto:d@acme.example"'),
        ("v=DMARC1; p=reject; rua=mailto:acme@reports.example", "warn", "has not said that it takes them",
         'acme.example._report._dmarc.reports.example. TXT "v=DMARC1"'),
    ],
)  # fmt: skip
def test_each_weakness_of_dmarc_has_its_record(
    server: NameServer, record: str, state: str, words: str, anew: str
) -> None:
    server.zone["_dmarc.acme.example"]["TXT"] = [record]
    line = look(server)["DMARC"]
    assert (line.state, words in line.says) == (state, True), line
    assert records(line) == [anew]


def test_reports_to_who_agreed_to_take_them_are_fine(server: NameServer) -> None:
    server.zone["_dmarc.acme.example"]["TXT"] = ["v=DMARC1; p=reject; rua=mailto:acme@reports.example"]
    server.zone["acme.example._report._dmarc.reports.example"] = {"TXT": ["v=DMARC1"]}
    assert look(server)["DMARC"].state == "ok"


def test_two_policies_are_none(server: NameServer) -> None:
    server.zone["_dmarc.acme.example"]["TXT"] *= 2
    server.zone["_dmarc.acme.example"]["TXT"][1] = "v=DMARC1; p=none"
    assert "so none counts" in look(server)["DMARC"].says


def test_a_subdomain_goes_by_what_its_organization_says_of_subdomains(server: NameServer) -> None:
    url = OWN.replace("billing@acme.example", "billing@mail.acme.example")
    server.zone["mail.acme.example"] |= {"TXT": ["v=spf1 a -all"], "MX": ["10 mail.acme.example."]}
    assert look(server, url)["DMARC"].state == "ok"
    server.zone["_dmarc.acme.example"]["TXT"] = ["v=DMARC1; p=reject; sp=none; rua=mailto:d@acme.example"]
    line = look(server, url)["DMARC"]
    assert records(line) == [
        '_dmarc.mail.acme.example. TXT "v=DMARC1; p=quarantine; rua=mailto:d@acme.example"'
    ]


def test_a_return_path_of_somebody_else_is_not_aligned(server: NameServer) -> None:
    server.zone["bounces.example"] = {"TXT": ["v=spf1 ip4:192.0.2.10 -all"], "MX": ["10 mail.acme.example."]}
    found = look(server, f"{OWN}&bounces=back@bounces.example")
    assert found["Return path"].state == "fail"
    assert "two organizations" in found["Return path"].says
    assert found["Alignment"].state == "ok", "the signature stands"
    del server.zone["s1._domainkey.acme.example"]
    found = look(server, f"{OWN}&bounces=back@bounces.example")
    assert found["Alignment"].state == "fail"


def test_strict_alignment_takes_the_very_same_domain_only(server: NameServer) -> None:
    server.zone["back.acme.example"] = {
        "TXT": ["v=spf1 ip4:192.0.2.10 -all"],
        "MX": ["10 mail.acme.example."],
    }
    url = f"{OWN}&bounces=b@back.acme.example"
    assert look(server, url)["Return path"].state == "ok"
    server.zone["_dmarc.acme.example"]["TXT"] = ["v=DMARC1; p=reject; aspf=s; rua=mailto:d@acme.example"]
    assert "aspf=s" in look(server, url)["Return path"].says


def test_a_return_path_that_takes_no_mail_hears_of_no_bounce(server: NameServer) -> None:
    server.zone["back.acme.example"] = {"TXT": ["v=spf1 ip4:192.0.2.10 -all"]}
    line = look(server, f"{OWN}&bounces=b@back.acme.example")["Return path"]
    assert records(line) == ["back.acme.example. MX 10 MAIL_SERVER."]


@pytest.mark.parametrize(
    ("url", "zone", "before"),
    [
        ("postmark://T@?from=billing@acme.example",
         {"pm-bounces.acme.example": {"CNAME": ["pm.mtasv.net."]}, "pm.mtasv.net": {"TXT": ["v=spf1 ip4:198.51.100.0/24 ~all"]}},
         ["pm-bounces.acme.example. CNAME pm.mtasv.net."]),
        ("ses://K:S@eu-west-1?from=billing@acme.example",
         {"mail.acme.example": {"MX": ["10 feedback-smtp.eu-west-1.amazonses.com."], "TXT": ["v=spf1 include:amazonses.com ~all"]},
          "amazonses.com": {"TXT": ["v=spf1 ip4:199.255.192.0/22 -all"]}},
         ["mail.acme.example. MX 10 feedback-smtp.eu-west-1.amazonses.com.", 'mail.acme.example. TXT "v=spf1 include:amazonses.com ~all"']),
        ("resend://K@?from=billing@acme.example",
         {"send.acme.example": {"MX": ["10 feedback-smtp.us-east-1.amazonses.com."], "TXT": ["v=spf1 include:amazonses.com ~all"]},
          "amazonses.com": {"TXT": ["v=spf1 ip4:199.255.192.0/22 -all"]}},
         ["send.acme.example. MX 10 feedback-smtp.us-east-1.amazonses.com.", 'send.acme.example. TXT "v=spf1 include:amazonses.com ~all"']),
    ],
    ids=["postmark", "ses", "resend"],
)  # fmt: skip
def test_a_providers_return_path_is_made_our_own(
    server: NameServer, url: str, zone: dict[str, Any], before: list[str]
) -> None:
    line = look(server, url)["Return path"]
    assert (line.state, records(line)) == ("warn", before)
    server.zone |= zone
    found = look(server, url)
    assert found["Return path"].state == "ok", found
    assert found["SPF"].state in ("ok", "warn"), found["SPF"]
    assert found["Alignment"].state == "ok"


def test_a_relay_that_must_be_named_is_asked_for(server: NameServer) -> None:
    server.zone["_spf.google.com"] = {"TXT": ["v=spf1 ip4:198.51.100.0/24 ~all"]}
    line = look(server, "smtp://u:p@smtp-relay.gmail.com:587?from=billing@acme.example")["SPF"]
    assert records(line) == ['acme.example. TXT "v=spf1 ip4:192.0.2.10 include:_spf.google.com -all"']
    server.zone["acme.example"]["TXT"] = ["v=spf1 include:_spf.google.com -all"]
    assert look(server, "smtp://u:p@smtp-relay.gmail.com:587?from=billing@acme.example")["SPF"].state == "ok"


@pytest.mark.parametrize(
    ("zone", "state", "words"),
    [
        ({"MX": ["10 mail.acme.example."]}, "ok", "mail.acme.example takes"),
        ({"MX": ["0 ."]}, "fail", "takes no mail"),
        ({"A": ["192.0.2.1"]}, "warn", "names no mail server"),
        ({}, "fail", "answers are lost"),
    ],
)
def test_answers_must_arrive(server: NameServer, zone: dict[str, list[str]], state: str, words: str) -> None:
    server.zone = {"acme.example": zone}
    line = reply_line(Names(server.address), "help@acme.example")
    assert (line.state, words in line.says) == (state, True), line


def test_no_answer_is_no_answer_and_not_none(server: NameServer) -> None:
    server.broken.add("_dmarc.acme.example")
    (line,) = look(server).values()
    assert (line.about, line.state) == ("DNS", "warn")
    assert "no name server answered for _dmarc.acme.example" in line.says
    server.silent = True
    with pytest.raises(Silent):
        Names(server.address, lifetime=0.2).texts("acme.example")


def test_names_for_examples_are_not_asked_of_the_world() -> None:
    (line,) = examine(Names(), sending(OWN))
    assert (line.about, line.state) == ("Sender", "warn")


def test_organizations_are_told_by_the_public_suffix_list() -> None:
    assert organization("pay.eu.acme.co.uk") == "acme.co.uk"
    assert organization("acme.github.io") == "acme.github.io"
    assert related("mail.acme.com.br", "acme.com.br")
    assert not related("acme.co.uk", "other.co.uk")
    assert not related("mail.acme.com", "acme.com", strict=True)


@pytest.mark.parametrize(
    ("record", "covered", "ends", "lookups"),
    [
        ("v=spf1 -all ip4:192.0.2.10", False, "-", 0),
        ("v=spf1 redirect=_spf.acme.example -all", False, "-", 0),
        ("v=spf1 -all redirect=_spf.acme.example", False, "-", 0),
        ("v=spf1 redirect=_spf.acme.example", True, "?", 1),
        ("v=spf1 redirect=_spf.acme.example ip4:192.0.2.11", True, "?", 1),
    ],
)
def test_nothing_counts_after_all_and_no_redirect_beside_it(
    server: NameServer, record: str, covered: bool, ends: str, lookups: int
) -> None:
    """RFC 7208, 5.1 and 6.1: receivers stop at `all`, and follow a redirect only where there is none."""
    server.zone["acme.example"]["TXT"] = [record]
    server.zone["_spf.acme.example"] = {"TXT": ["v=spf1 ip4:192.0.2.10 ?all"]}
    found = read_spf(Names(server.address), "acme.example")
    assert (found.covers("192.0.2.10"), found.ends, found.lookups) == (covered, ends, lookups)


def test_a_return_path_that_says_it_takes_no_mail_hears_of_no_bounce(server: NameServer) -> None:
    server.zone["acme.example"]["MX"] = ["0 ."]
    assert look(server)["Return path"].state == "fail"


def test_a_share_that_is_no_number_is_no_fault_of_ours(server: NameServer) -> None:
    server.zone["_dmarc.acme.example"]["TXT"] = ["v=DMARC1; p=reject; pct=²; rua=mailto:dmarc@acme.example"]
    assert look(server)["DMARC"].state == "ok"
