"""Reads import files line by line, groups them by debt and takes them in, with every refused line named."""

import codecs
import csv
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from recoup.cli.faults import USAGE, Fault
from recoup.domain.view import CaseView
from recoup.engine.backfill import Taken, take_back
from recoup.engine.grouping import Grouping, view_of
from recoup.engine.house import House
from recoup.psp import plain_rows, stripe_export
from recoup.psp.payment_rows import Payment, Row
from recoup.store.merchants import Merchant

BATCH = 500
_MORE = "\0more"
"""Where the reader puts cells beyond the last column; no column can have this name."""

Seen = tuple[tuple[int, ...], CaseView]
"""A debt and the lines that tell of it."""
Advance = Callable[[int], None]


class Counts(msgspec.Struct):
    """What became of a file: lines read, and debts by what they were."""

    refused_in: Path
    read: int = 0
    opened: int = 0
    closed: int = 0
    known: int = 0
    settled: int = 0
    paid_at_once: int = 0
    untried: int = 0
    again: int = 0
    refused: int = 0

    def sentence(self) -> str:
        """The result in one or two lines."""
        said = f"read {self.read}, new {self.opened + self.closed}, known {self.known + self.settled}, refused {self.refused}"
        more = [f"{self.opened} open and {self.closed} closed new cases"] if self.opened + self.closed else []
        more += [f"{self.settled} open ones were paid meanwhile"] if self.settled else []
        more += [f"{self.paid_at_once} debts paid at the first try make no case"] if self.paid_at_once else []
        more += [f"{self.untried} lines on which nothing was tried"] if self.untried else []
        more += [f"{self.again} lines say again what others said"] if self.again else []
        return f"{said}\n{'; '.join(more)}" if more else said


class Refusals:
    """Writes the refused lines to `FILE.refused.csv`, which is only there when there are any."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._file: io.TextIOWrapper | None = None

    def add(self, line: int, because: str) -> None:
        if self._file is None:
            self._file = self._counts.refused_in.open("w", newline="", encoding="utf-8")
            csv.writer(self._file).writerow(("line", "reason"))
        csv.writer(self._file).writerow((line, because))
        self._counts.refused += 1

    def add_all(self, lines: tuple[int, ...], because: str) -> None:
        for line in lines:
            self.add(line, because)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        else:
            self._counts.refused_in.unlink(missing_ok=True)


def bring_in(house: House, merchant: Merchant, kind: str, file: Path) -> Counts:
    """Takes the whole file in; what became of it. Raises `Fault` where it is not such a file at all."""
    counts = Counts(refused_in=file.with_name(file.name + ".refused.csv"))
    refusals = Refusals(counts)
    try:
        with file.open("rb") as raw, _bar(file.stat().st_size) as advance, Grouping() as grouping:
            if kind == "jsonl":
                seen = _views(raw, counts, refusals, advance)
            else:
                seen = _grouped(raw, kind, grouping, counts, refusals, advance)
            for batch in _batches(seen):
                answers = take_back(house, merchant, [view for _, view in batch])
                for (lines, _), answer in zip(batch, answers, strict=True):
                    _count(counts, refusals, lines, answer)
            counts.again = grouping.again
    finally:
        refusals.close()
    return counts


def _count(counts: Counts, refusals: Refusals, lines: tuple[int, ...], answer: Taken) -> None:
    if answer.status == "refused":
        refusals.add_all(lines, answer.because)
    else:
        setattr(counts, answer.status, getattr(counts, answer.status) + 1)


def _batches(seen: Iterator[Seen]) -> Iterator[list[Seen]]:
    batch: list[Seen] = []
    for each in seen:
        batch.append(each)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _views(raw: BinaryIO, counts: Counts, refusals: Refusals, advance: Advance) -> Iterator[Seen]:
    """The case views of a JSON-lines file."""
    decoder = msgspec.json.Decoder(CaseView)
    for number, line in enumerate(raw, 1):
        if not line.strip():
            continue
        counts.read += 1
        advance(raw.tell())
        try:
            yield (number,), decoder.decode(line)
        except msgspec.MsgspecError as e:
            refusals.add(number, str(e))


def _grouped(
    raw: BinaryIO, kind: str, grouping: Grouping, counts: Counts, refusals: Refusals, advance: Advance
) -> Iterator[Seen]:
    """The debts of a payments file, once all its lines are read. A debt that a line which cannot be read may tell
    to be paid waits for that line: it would be taken for one that is still due, or was lost."""
    told = stripe_export if kind == "stripe" else plain_rows
    doubtful: dict[str, int] = {}
    for number, row in _rows(raw, kind, refusals):
        counts.read += 1
        advance(raw.tell())
        try:
            payment = _payment(kind, row)
        except (ValueError, msgspec.MsgspecError) as e:
            refusals.add(number, str(e))
            if (debt := told.debt(row)) and not told.failed(row):
                doubtful.setdefault(debt, number)
            continue
        if payment is None:
            counts.untried += 1
        else:
            grouping.add(number, payment)
    for group in grouping.debts():
        lines = tuple(number for number, _ in group)
        try:
            if (other := doubtful.get(group[0][1].debt_id)) is not None:
                raise ValueError(f"line {other} may tell that this debt is paid; correct that line first")
            yield lines, view_of(group)
        except (ValueError, msgspec.MsgspecError) as e:
            refusals.add_all(lines, str(e))


def _payment(kind: str, row: Row) -> Payment | None:
    if row.get(_MORE):
        raise ValueError("the line has more cells than the file has columns")
    for column, said in row.items():
        if said and not said.isascii() and any("\udc80" <= each <= "\udcff" for each in said):
            raise ValueError(f"the column {column!r} is not text in UTF-8; save the file as CSV in UTF-8")
    return stripe_export.payment(row) if kind == "stripe" else plain_rows.payment(row)


def _rows(raw: BinaryIO, kind: str, refusals: Refusals) -> Iterator[tuple[int, Row]]:
    """Every line of a CSV file with the number it begins on. Raises `Fault` where the columns are not this kind's.

    Spreadsheets also write semicolons, tabs and UTF-16. Bytes that are no text stay visible as lone surrogates."""
    wide = raw.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    raw.seek(0)
    text = io.TextIOWrapper(
        raw, "utf-16" if wide else "utf-8-sig", errors=None if wide else "surrogateescape", newline=""
    )
    try:
        header = text.readline()
        text.seek(0)
        delimiter = next((d for d in ",;\t" if d in header), ",")
        reader = csv.DictReader(text, delimiter=delimiter, restkey=_MORE)
        columns = [name.strip() for name in reader.fieldnames or []]
        _refuse_other_files(kind, columns)
        reader.fieldnames = columns
        yield from _numbered(reader, refusals)
    finally:
        text.detach()  # the file belongs to whoever opened it


def _numbered(reader: "csv.DictReader[str]", refusals: Refusals) -> Iterator[tuple[int, Row]]:
    while True:
        begins = reader.line_num + 1
        try:
            yield begins, next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            refusals.add(begins, f"the line is not CSV: {e}")


def _refuse_other_files(kind: str, columns: list[str]) -> None:
    if kind == "stripe":
        lacking = stripe_export.missing(columns)
        if lacking:
            why = f"the column {lacking[0]!r} is missing"
            raise Fault(
                f"this is not Stripe's payments export; {why}; export Payments with all columns", USAGE
            )
        return
    wrong = plain_rows.wrong(columns)
    if wrong is not None:
        raise Fault(f"the file cannot be read; {wrong}; correct the first line and run again", USAGE)


@contextmanager
def _bar(size: int) -> Iterator[Advance]:
    """A progress bar where somebody watches; nothing where not. The function takes bytes read so far."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("reading", total=size)
        yield lambda done: progress.update(task, completed=done)
