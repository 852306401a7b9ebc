"""Tables as CSV files: what every chart offers one click below it."""

import csv as csv_format
import io
from collections.abc import Iterable, Sequence

from litestar import Response

from recoup.web.pages.frame import GUARDED


def csv(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response[bytes]:
    """The rows as `name.csv`, RFC 4180. A cell a spreadsheet would take for a formula is marked as text."""
    out = io.StringIO()
    writer = csv_format.writer(out)
    writer.writerow(head)
    writer.writerows([[_safe(cell) for cell in row] for row in rows])
    headers = {**GUARDED, "Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(out.getvalue().encode(), media_type="text/csv; charset=utf-8", headers=headers)


def _safe(cell: object) -> object:
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return "" if cell is None else cell
