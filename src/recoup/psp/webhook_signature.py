"""Signatures after Standard Webhooks, made and checked over the raw bytes of a message."""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from recoup.psp.port import Refused

TOLERANCE = timedelta(minutes=5)
"""How far a message's timestamp may be from now, either way."""
_PREFIX = "whsec_"
_MOST_SIGNATURES = 16


class Signer:
    """Holds one or more secrets (`whsec_` and base64). The first signs; all are accepted, so that one can be rotated.

    Raises `ValueError` for a secret that is none, without repeating it.
    """

    def __init__(self, secrets: str | Iterable[str]) -> None:
        given = (secrets,) if isinstance(secrets, str) else tuple(secrets)
        if not given:
            raise ValueError("no webhook secret is given; without one every event would have to be refused")
        self._keys = tuple(_key(secret) for secret in given)

    def __repr__(self) -> str:
        return f"Signer({len(self._keys)} secrets)"

    def headers(self, event_id: str, raw: bytes, at: datetime) -> dict[str, str]:
        """The three headers that go with `raw`, sent at `at`."""
        stamp = str(int(at.timestamp()))
        signature = base64.b64encode(_digest(self._keys[0], event_id, stamp, raw)).decode()
        return {
            "webhook-id": event_id,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{signature}",
        }

    def verify(self, raw: bytes, headers: Mapping[str, str], now: datetime) -> str:
        """The message's id when one of its signatures is right and it is not older or newer than `TOLERANCE`.

        Raises `Refused` otherwise; the reason does not tell what the right signature would have been.
        """
        given = {name.lower(): value for name, value in headers.items()}
        missing = [h for h in ("webhook-id", "webhook-timestamp", "webhook-signature") if not given.get(h)]
        if missing:
            raise Refused(
                f"the message has no {' and no '.join(missing)} header; sign it after Standard Webhooks"
            )
        event_id, stamp = given["webhook-id"], given["webhook-timestamp"]
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            raise Refused("webhook-timestamp is not a whole number of seconds since 1970")
        apart = int(stamp) - now.timestamp()
        if abs(apart) > TOLERANCE.total_seconds():
            raise Refused(
                f"webhook-timestamp is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} our clock, more than "
                f"{TOLERANCE.total_seconds():.0f} s; sign each delivery anew and check both clocks"
            )
        signatures = [_signature(part) for part in given["webhook-signature"].split()[:_MOST_SIGNATURES]]
        for key in self._keys:
            right = _digest(key, event_id, stamp, raw)
            for signature in signatures:
                if signature is not None and hmac.compare_digest(signature, right):
                    return event_id
        raise Refused(
            "no signature fits the message; use the hook secret of this merchant over the untouched raw body"
        )


def _key(secret: str) -> bytes:
    """The key's bytes; padding may be missing."""
    body = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a webhook secret is not base64 after its whsec_ prefix; copy it again") from None
    if len(key) < 16:
        raise ValueError("a webhook secret is shorter than 16 bytes and could be guessed; make a new one")
    return key


def _digest(key: bytes, event_id: str, stamp: str, raw: bytes) -> bytes:
    return hmac.digest(key, b".".join((event_id.encode(), stamp.encode(), raw)), "sha256")


def _signature(part: str) -> bytes | None:
    """The bytes of one `v1,...` signature; None for other versions and for what is none."""
    version, _, text = part.partition(",")
    if version != "v1":
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
