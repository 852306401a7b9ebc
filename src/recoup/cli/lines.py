"""Reads values from files of JSON lines; lines that hold none are counted, and the first of them is remembered."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Lines(Generic[T]):
    """The values of some files, one line at a time."""

    def __init__(self, files: Sequence[Path], kind: type[T], called: str) -> None:
        self.files, self.called = files, called
        self.decoder = msgspec.json.Decoder(kind)
        self.refused = 0
        self.first = ""

    def read(self) -> Iterator[T]:
        """The values, file after file; empty lines are passed over."""
        for file in self.files:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if not line.strip():
                        continue
                    try:
                        yield self.decoder.decode(line)
                    except (msgspec.MsgspecError, ValueError) as e:
                        self.refused += 1
                        self.first = self.first or f"{file}:{number}: {e}"

    def tell(self) -> None:
        """Says on stderr what was left out, if anything was."""
        if self.refused:
            print(
                f"recoup: {self.refused} lines are no {self.called} and were left out; the first is {self.first}",
                file=sys.stderr,
            )
