"""Tells a phone number that can exist from one that cannot, and where its owner's clock may stand."""

from __future__ import annotations

import phonenumbers


class BadNumber(ValueError):
    """Not a phone number in E.164; the message says why and never repeats the number."""


def check_number(text: str) -> str:
    """The number in E.164 (`+4915112345678`): spaces and dashes gone, one that its country can have given out.

    Raises BadNumber.
    """
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as exc:
        raise BadNumber("it is no phone number with its country; write it like +4915112345678") from exc
    if not phonenumbers.is_valid_number(number):
        raise BadNumber("its country has no such number; look for a digit too many or too few")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def zones_of(number: str) -> tuple[str, ...]:
    """The time zones in which the owner of an E.164 number may live, by its country and area; empty where nobody knows."""
    from phonenumbers import timezone  # its tables are large, and most customers tell their zone

    try:
        found = timezone.time_zones_for_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return ()
    return tuple(str(zone) for zone in found if zone != timezone.UNKNOWN_TIMEZONE)


def mask_number(number: str) -> str:
    """The number as it may be shown to somebody who knows it: country and last two digits."""
    return f"{number[:3]} … {number[-2:]}"
