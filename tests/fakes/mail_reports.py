"""Reports as the five providers post them: their documented field names, our sentences, signed by the real algorithms."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

Json = dict[str, Any]
Posted = tuple[bytes, dict[str, str]]
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-test.pem"
SIGNING_KEY = "mailgun-signing-key"
SVIX = "whsec_" + base64.b64encode(b"a secret of Resend's webhook").decode()
PERSON = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"


@cache
def sendgrid_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def amazon() -> tuple[rsa.RSAPrivateKey, bytes]:
    """Amazon's key and its certificate, as lies at `CERTIFICATE_URL`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2035, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return key, made.public_bytes(Encoding.PEM)


def hook(provider: str) -> str:
    """What `hook=` holds in the settings of this account."""
    if provider == "sendgrid":
        public = sendgrid_key().public_key()
        return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    return {"postmark": "recoup:a password", "mailgun": SIGNING_KEY, "ses": TOPIC, "resend": SVIX}[provider]


class Amazon:
    """What lies at Amazon's addresses; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if url == CERTIFICATE_URL:
            return amazon()[1]
        return b"<ConfirmSubscriptionResponse/>"


def signed(provider: str, told: Any, at: datetime, *, name: str = "") -> Posted:
    """The body and headers in which this provider posts `told` at `at`; `name`: its own name of the delivery."""
    raw = json.dumps(told).encode()
    match provider:
        case "postmark":
            return raw, {"Authorization": "Basic " + base64.b64encode(hook("postmark").encode()).decode()}
        case "sendgrid":
            stamp = str(int(at.timestamp()))
            signature = sendgrid_key().sign(stamp.encode() + raw, ec.ECDSA(hashes.SHA256()))
            return raw, {
                "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
                "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            }
        case "mailgun":
            stamp, token = str(int(at.timestamp())), hashlib.sha256((name or str(told)).encode()).hexdigest()
            digest = hmac.new(SIGNING_KEY.encode(), f"{stamp}{token}".encode(), "sha256").hexdigest()
            sealed = {"timestamp": stamp, "token": token, "signature": digest}
            return json.dumps({"signature": sealed, "event-data": told}).encode(), {}
        case "ses":
            return envelope(told, at, name=name), {"x-amz-sns-message-type": "Notification"}
    stamp, name = str(int(at.timestamp())), name or "msg_" + hashlib.sha256(raw).hexdigest()[:12]
    key = base64.b64decode(SVIX.removeprefix("whsec_"))
    made = hmac.new(key, f"{name}.{stamp}.".encode() + raw, "sha256").digest()
    return raw, {"svix-id": name, "svix-timestamp": stamp, "svix-signature": f"v1,{base64.b64encode(made).decode()}"}  # fmt: skip


def envelope(
    told: Any, at: datetime, *, name: str = "", kind: str = "Notification", version: str = "2"
) -> bytes:
    """An SNS message, signed by Amazon's key."""
    inside = told if isinstance(told, str) else json.dumps(told)
    body: Json = {
        "Type": kind, "MessageId": name or hashlib.sha256(inside.encode()).hexdigest()[:32], "TopicArn": TOPIC,
        "Message": inside, "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
    }  # fmt: skip
    if kind != "Notification":
        body["Token"] = "token"
        body["SubscribeURL"] = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=token"
    names = sorted(n for n in body if n not in ("SignatureVersion", "SigningCertURL"))
    text = "".join(f"{n}\n{body[n]}\n" for n in names)
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    signature = amazon()[0].sign(text.encode(), padding.PKCS1v15(), algorithm)
    return json.dumps({**body, "Signature": base64.b64encode(signature).decode()}).encode()


def report(
    provider: str, what: str, mark: str, at: datetime, *, to: str = "anna@customer.example", agent: str = PERSON,
    link: str = "https://pay.acme.example/pay/x", name: str = "", **more: Any,
) -> Posted:  # fmt: skip
    """One event of one letter: `delivered`, `opened`, `clicked`, `hard`, `soft`, `held_up`, `complained`, `unsubscribed`,
    `suppressed` (not for Postmark, which says so at once)."""
    made: dict[str, Any] = {
        "postmark": _postmark, "sendgrid": _sendgrid, "mailgun": _mailgun, "ses": _ses, "resend": _resend,
    }  # fmt: skip
    name = name or f"{what}-{mark[:8]}-{at.timestamp():.0f}"
    told = made[provider](what, mark, at, to, agent, link, name)
    told = [{**told[0], **more}] if provider == "sendgrid" else {**told, **more}
    return signed(provider, told, at, name=name)


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _postmark(what: str, mark: str, at: datetime, to: str, agent: str, link: str, name: str) -> Json:
    whole: Json = {"MessageID": "883953f4", "ServerID": 23, "MessageStream": "dunning", "Tag": "", "Metadata": {"recoup": mark}}  # fmt: skip
    bounce: Json = {"RecordType": "Bounce", "ID": int(hashlib.sha256(name.encode()).hexdigest()[:8], 16), "Email": to, "From": "billing@acme.example",
                    "BouncedAt": _stamp(at), "CanActivate": True, "Subject": "x", "DumpAvailable": True}  # fmt: skip
    match what:
        case "delivered":
            return {**whole, "RecordType": "Delivery", "Recipient": to, "DeliveredAt": _stamp(at), "Details": "250 OK"}  # fmt: skip
        case "opened":
            return {**whole, "RecordType": "Open", "FirstOpen": True, "Recipient": to, "ReceivedAt": _stamp(at), "UserAgent": agent,
                    "Client": {"Name": "", "Company": "", "Family": ""}, "Platform": "Desktop", "Geo": {}}  # fmt: skip
        case "clicked":
            return {**whole, "RecordType": "Click", "ClickLocation": "HTML", "Recipient": to, "ReceivedAt": _stamp(at), "UserAgent": agent,
                    "OriginalLink": link, "Geo": {}}  # fmt: skip
        case "hard":
            return {**whole, **bounce, "Type": "HardBounce", "TypeCode": 1, "Inactive": True, "Description": "The server says there is no such mailbox."}  # fmt: skip
        case "soft":
            return {**whole, **bounce, "Type": "SoftBounce", "TypeCode": 4096, "Inactive": False, "Description": "The mailbox is full."}  # fmt: skip
        case "complained":
            return {**whole, **bounce, "RecordType": "SpamComplaint", "Type": "SpamComplaint", "TypeCode": 512, "Inactive": True}  # fmt: skip
        case "unsubscribed":
            return {**whole, "RecordType": "SubscriptionChange", "Recipient": to, "ChangedAt": _stamp(at), "Origin": "Recipient",
                    "SuppressSending": True, "SuppressionReason": "ManualSuppression"}  # fmt: skip
    raise ValueError(what)


def _sendgrid(what: str, mark: str, at: datetime, to: str, agent: str, link: str, name: str) -> list[Json]:
    whole: Json = {"email": to, "timestamp": int(at.timestamp()), "smtp-id": "<x@ismtpd>", "sg_event_id": name,
                   "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", "recoup": mark}  # fmt: skip
    kinds: dict[str, Json] = {
        "delivered": {"event": "delivered", "response": "250 OK"},
        "opened": {"event": "open", "useragent": agent, "ip": "192.0.2.1", "sg_machine_open": False},
        "clicked": {"event": "click", "useragent": agent, "ip": "192.0.2.1", "url": link},
        "hard": {
            "event": "bounce",
            "type": "bounce",
            "status": "5.1.1",
            "reason": "550 5.1.1 no such mailbox",
        },
        "soft": {"event": "bounce", "type": "blocked", "status": "4.2.2", "reason": "452 4.2.2 mailbox full"},
        "held_up": {"event": "deferred", "response": "451 try later", "attempt": "2"},
        "complained": {"event": "spamreport"},
        "unsubscribed": {"event": "unsubscribe"},
        "suppressed": {"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"},
    }
    return [{**whole, **kinds[what]}]


def _mailgun(what: str, mark: str, at: datetime, to: str, agent: str, link: str, name: str) -> Json:
    whole: Json = {"id": name, "timestamp": at.timestamp(), "recipient": to, "user-variables": {"recoup": mark},
                   "message": {"headers": {"message-id": f"{mark}@acme.example", "to": to}}, "flags": {"is-test-mode": False}}  # fmt: skip
    client = {"client-info": {"client-type": "browser", "user-agent": agent, "bot": ""}, "ip": "192.0.2.1"}
    failed: Json = {"event": "failed", "severity": "permanent"}
    kinds: dict[str, Json] = {
        "delivered": {"event": "delivered", "delivery-status": {"code": 250, "message": "OK"}},
        "opened": {"event": "opened", **client},
        "clicked": {"event": "clicked", "url": link, **client},
        "hard": {**failed, "reason": "bounce", "delivery-status": {"code": 550, "enhanced-code": "5.1.1", "message": "no such mailbox"}},
        "soft": {**failed, "reason": "old", "delivery-status": {"code": 452, "message": "mailbox full"}},
        "held_up": {"event": "failed", "severity": "temporary", "reason": "generic", "delivery-status": {"code": 451}},
        "complained": {"event": "complained"},
        "unsubscribed": {"event": "unsubscribed", **client},
        "suppressed": {**failed, "reason": "suppress-bounce", "delivery-status": {"code": 605, "message": "not delivering"}},
    }  # fmt: skip
    return {**whole, **kinds[what]}


def _ses(what: str, mark: str, at: datetime, to: str, agent: str, link: str, name: str) -> Json:
    mail = {"timestamp": _stamp(at - timedelta(minutes=1)), "messageId": "EXAMPLE", "destination": [to],
            "tags": {"recoup": [mark], "ses:configuration-set": ["dunning"]}}  # fmt: skip
    seen = {"timestamp": _stamp(at), "userAgent": agent, "ipAddress": "192.0.2.1"}
    who = {"emailAddress": to, "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 no such mailbox"}  # fmt: skip
    bounce: Json = {"bouncedRecipients": [who], "timestamp": _stamp(at), "feedbackId": name}
    kinds: dict[str, Json] = {
        "delivered": {"eventType": "Delivery", "delivery": {"timestamp": _stamp(at), "recipients": [to]}},
        "opened": {"eventType": "Open", "open": seen},
        "clicked": {"eventType": "Click", "click": {**seen, "link": link}},
        "hard": {"eventType": "Bounce", "bounce": {**bounce, "bounceType": "Permanent", "bounceSubType": "General"}},
        "soft": {"eventType": "Bounce", "bounce": {**bounce, "bounceType": "Transient", "bounceSubType": "MailboxFull"}},
        "held_up": {"eventType": "DeliveryDelay", "deliveryDelay": {"delayType": "General"}},
        "complained": {"eventType": "Complaint", "complaint": {"complainedRecipients": [{"emailAddress": to}], "timestamp": _stamp(at),
                                                               "feedbackId": name, "complaintFeedbackType": "abuse"}},
        "suppressed": {"eventType": "Bounce", "bounce": {**bounce, "bounceType": "Permanent", "bounceSubType": "OnAccountSuppressionList"}},
    }  # fmt: skip
    return {"mail": mail, **kinds[what]}


def _resend(what: str, mark: str, at: datetime, to: str, agent: str, link: str, name: str) -> Json:
    data: Json = {"email_id": "56761188", "from": "billing@acme.example", "to": [to], "subject": "x", "tags": {"recoup": mark}}  # fmt: skip
    seen = {"ipAddress": "192.0.2.1", "timestamp": _stamp(at), "userAgent": agent}
    kinds: dict[str, tuple[str, Json]] = {
        "delivered": ("email.delivered", {}),
        "opened": ("email.opened", {"open": seen}),
        "clicked": ("email.clicked", {"click": {**seen, "link": link}}),
        "hard": ("email.bounced", {"bounce": {"type": "Permanent", "subType": "General", "message": "There is no such mailbox."}}),
        "soft": ("email.bounced", {"bounce": {"type": "Transient", "subType": "MailboxFull", "message": "It is full."}}),
        "held_up": ("email.delivery_delayed", {}),
        "complained": ("email.complained", {}),
        "suppressed": ("email.suppressed", {"suppressed": {"message": "kept back", "type": "OnAccountSuppressionList"}}),
    }  # fmt: skip
    kind, inside = kinds[what]
    return {"type": kind, "created_at": _stamp(at), "data": {**data, **inside}}


KNOWN = {
    "postmark": ("delivered", "opened", "clicked", "hard", "soft", "complained", "unsubscribed"),
    "sendgrid": ("delivered", "opened", "clicked", "hard", "soft", "held_up", "complained", "unsubscribed", "suppressed"),
    "mailgun": ("delivered", "opened", "clicked", "hard", "soft", "held_up", "complained", "unsubscribed", "suppressed"),
    "ses": ("delivered", "opened", "clicked", "hard", "soft", "held_up", "complained", "suppressed"),
    "resend": ("delivered", "opened", "clicked", "hard", "soft", "held_up", "complained", "suppressed"),
}  # fmt: skip
"""What each provider reports."""
