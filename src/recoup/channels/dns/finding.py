"""One line of the mail doctor: how it stands, what is wrong, and the record that mends it."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "warn", "fail"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record to publish: its whole name, its type, its value as it is typed into a form."""

    name: str
    type: Literal["TXT", "CNAME", "MX", "A"]
    value: str

    def __str__(self) -> str:
        """As a line of a zone file."""
        value = f'"{self.value}"' if self.type == "TXT" else self.value
        return f"{self.name}. {self.type} {value}"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`about` is the line's short name (`SPF`), `says` what was found, `fix` what to do about it. `records` are to be
    added, or to stand in the place of what is there under the same name."""

    about: str
    state: State
    says: str
    fix: str = ""
    records: tuple[Record, ...] = ()

    @property
    def sentence(self) -> str:
        """What was found, as a sentence; a name keeps its small letters."""
        first = self.says.split(" ", 1)[0]
        return f"{self.says if '.' in first else self.says[:1].upper() + self.says[1:]}."


def ok(about: str, says: str) -> Finding:
    """In order."""
    return Finding(about=about, state="ok", says=says)


def warn(about: str, says: str, fix: str, *records: Record) -> Finding:
    """Works, and could be better or is not certain."""
    return Finding(about=about, state="warn", says=says, fix=fix, records=records)


def fail(about: str, says: str, fix: str, *records: Record) -> Finding:
    """Mail will be refused or not believed."""
    return Finding(about=about, state="fail", says=says, fix=fix, records=records)


def txt(name: str, value: str) -> Record:
    """A TXT record."""
    return Record(name=name, type="TXT", value=value)
