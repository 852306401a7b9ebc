"""Tables as CSV files: what every chart offers one click below it."""

import csv as csv_format
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from litestar import Response
from litestar.response import Stream

from recoup.web.pages.frame import GUARDED

CSV = "text/csv; charset=utf-8"
BLOCK = 1_000
"""Rows sent at a time."""


def csv(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response[bytes]:
    """The rows as `name.csv`, RFC 4180. A cell a spreadsheet would take for a formula is marked as text."""
    out = io.StringIO()
    writer = csv_format.writer(out)
    writer.writerow(head)
    writer.writerows([[_safe(cell) for cell in row] for row in rows])
    return Response(out.getvalue().encode(), media_type=CSV, headers=_headers(name))


def streamed(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Stream:
    """The same for as many rows as there are: they are read and sent a few at a time, and never all held."""

    def blocks() -> Iterator[bytes]:
        waiting, begun = iter(rows), [head]
        while some := [*begun, *([_safe(cell) for cell in row] for row in islice(waiting, BLOCK))]:
            out, begun = io.StringIO(), []
            csv_format.writer(out).writerows(some)
            yield out.getvalue().encode()

    return Stream(blocks(), media_type=CSV, headers=_headers(name))


def _headers(name: str) -> dict[str, str]:
    return {**GUARDED, "Content-Disposition": f'attachment; filename="{name}.csv"'}


def _safe(cell: object) -> object:
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return "" if cell is None else cell
