"""Makes a merchant's accent colour readable on light and on dark paper."""

from __future__ import annotations

import functools

import msgspec

_LIGHT_PAPER = (255, 255, 255)
_DARK_PAPER = (0x17, 0x1C, 0x22)
_LIGHT_INK = "#ffffff"
_DARK_INK = "#000000"
_TEXT_CONTRAST = 4.5
# The label carries the button, so on white a brand's yellow may stay yellow; on dark paper a navy button
# would vanish in its surroundings and is lifted.
_LIGHT_SHAPE = 1.4
_DARK_SHAPE = 3.0

_Rgb = tuple[int, int, int]


class Palette(msgspec.Struct, frozen=True, kw_only=True):
    """`#rrggbb` colours: the accent and the ink upon it, for light and for dark paper."""

    accent: str
    ink: str
    dark_accent: str
    dark_ink: str


@functools.lru_cache(maxsize=1024)
def palette(accent: str) -> Palette:
    """Colours from one `#rrggbb` accent; text on the button always has at least 4.5:1 (WCAG 2.2 AA)."""
    colour = _rgb(accent)
    light = _moved_until(colour, _LIGHT_PAPER, (0, 0, 0), _LIGHT_SHAPE)
    dark = _moved_until(colour, _DARK_PAPER, (255, 255, 255), _DARK_SHAPE)
    return Palette(accent=_hex(light), ink=_ink(light), dark_accent=_hex(dark), dark_ink=_ink(dark))


def contrast(one: str, other: str) -> float:
    """The WCAG contrast ratio of two `#rrggbb` colours, 1 to 21."""
    return _ratio(_rgb(one), _rgb(other))


def _moved_until(colour: _Rgb, paper: _Rgb, towards: _Rgb, least: float) -> _Rgb:
    for step in range(21):
        part = step / 20
        mixed = _mix(colour, towards, part)
        if _ratio(mixed, paper) >= least:
            return mixed
    return towards


def _mix(one: _Rgb, other: _Rgb, part: float) -> _Rgb:
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _ink(paper: _Rgb) -> str:
    # Of white and black one always reaches 4.58:1; white is the expected one wherever it does.
    return _LIGHT_INK if _ratio(_rgb(_LIGHT_INK), paper) >= _TEXT_CONTRAST else _DARK_INK


def _ratio(one: _Rgb, other: _Rgb) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: _Rgb) -> float:
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _rgb(colour: str) -> _Rgb:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _hex(colour: _Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
