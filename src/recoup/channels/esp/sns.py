"""Reports that come through Amazon SNS: is the envelope really Amazon's, and what is in it.

What is signed, and how: docs.aws.amazon.com, "Verifying the signatures of Amazon SNS messages".
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from recoup.channels.esp.port import Fetch, Forged

_AMAZON = re.compile(r"sns\.[a-z0-9-]{3,30}\.amazonaws\.com(\.cn)?\Z")
_MOST_KEYS = 16
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}  # fmt: skip


class Envelope(msgspec.Struct, frozen=True):
    """An SNS message as it is posted."""

    Type: str
    MessageId: str
    TopicArn: str
    Message: str
    Timestamp: str
    SignatureVersion: str
    Signature: str
    SigningCertURL: str
    Subject: str | None = None
    Token: str | None = None
    SubscribeURL: str | None = None


def opened(raw: bytes) -> Envelope:
    """The envelope. Raises `Forged`."""
    try:
        return msgspec.json.decode(raw, type=Envelope)
    except msgspec.MsgspecError as e:
        raise Forged("this is no message of Amazon SNS; switch raw message delivery off") from e


def is_amazons(url: str) -> bool:
    """Whether this is an https address of Amazon SNS itself, on its usual port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = parts.scheme == "https" and port in (None, 443) and parts.username is None
    return plain and _AMAZON.match(parts.hostname or "") is not None


class Seals:
    """Checks signatures; each signing certificate is fetched once and kept. Safe to share between threads."""

    def __init__(self) -> None:
        self._keys: dict[str, rsa.RSAPublicKey] = {}
        self._lock = threading.Lock()

    def check(self, envelope: Envelope, fetch: Fetch) -> None:
        """Raises `Forged` where the signature does not fit, and `OSError` where the certificate cannot be fetched."""
        names = _SIGNED.get(envelope.Type)
        if names is None:
            raise Forged(f"SNS sends no message of type {envelope.Type[:40]!r}")
        signed = [(n, getattr(envelope, n)) for n in names]
        text = "".join(f"{n}\n{value}\n" for n, value in signed if value is not None)
        digest = {"1": hashes.SHA1, "2": hashes.SHA256}.get(envelope.SignatureVersion)
        if digest is None:
            raise Forged(f"SNS signature version {envelope.SignatureVersion[:10]!r} is not known")
        try:
            signature = base64.b64decode(envelope.Signature, validate=True)
            self._key(envelope.SigningCertURL, fetch).verify(
                signature, text.encode(), padding.PKCS1v15(), digest()
            )
        except (binascii.Error, InvalidSignature) as e:
            raise Forged("the signature of SNS does not fit the message") from e

    def _key(self, url: str, fetch: Fetch) -> rsa.RSAPublicKey:
        if not is_amazons(url) or not urlsplit(url).path.endswith(".pem"):
            raise Forged("the signing certificate is not at an address of Amazon SNS")
        with self._lock:
            known = self._keys.get(url)
        if known is not None:
            return known
        try:
            key = load_pem_x509_certificate(fetch(url)).public_key()
        except ValueError as e:
            raise Forged("what lies at the certificate's address is no certificate") from e
        if not isinstance(key, rsa.RSAPublicKey):
            raise Forged("the signing certificate holds no RSA key")
        with self._lock:
            if len(self._keys) >= _MOST_KEYS:
                self._keys.clear()
            self._keys[url] = key
        return key
