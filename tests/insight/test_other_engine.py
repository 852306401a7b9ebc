"""The text of every metric, unchanged, on another engine over the Parquet files that `recoup report --parquet` hands out.

Needs `pip install 'recoup[engines]'` (DataFusion and Arrow, a hundred megabytes); left out where that is not there.
"""

import math
from datetime import timedelta
from pathlib import Path

import pytest

from recoup.insight.cards import CARDS
from recoup.insight.frame import EVERYTHING, RENEWALS, Where
from recoup.insight.fresh import frame
from recoup.insight.measure import question
from recoup.insight.shaping import TABLES
from tests.insight.crafted import clean, keep, standing_at_now
from tests.support.house import standing


def test_every_metric_gives_the_same_on_datafusion(sqlite_url: str, tmp_path: Path) -> None:
    datafusion = pytest.importorskip("datafusion")
    with standing(sqlite_url) as house:
        merchant = standing_at_now(house)
        keep(house, merchant, clean(240))
        found = frame(house, merchant, at_most=timedelta(0))
        found.copy(tmp_path, form="parquet")
        engine = datafusion.SessionContext()
        for table in TABLES:
            engine.register_parquet(table, str(tmp_path / f"{table}.parquet"))
        engine.sql(f"CREATE VIEW renewals AS SELECT * FROM cases WHERE {RENEWALS}").collect()
        engine.sql("CREATE VIEW renewal_attempts AS SELECT * FROM attempts WHERE of_renewal").collect()
        for card in CARDS:
            for where, by in ((EVERYTHING, None), (EVERYTHING, "reason"), (Where(reason="funds"), None)):
                sql, values = question(card, where=where, by=by)
                text = sql.replace("?", "'funds'")
                there = [list(row.values()) for row in engine.sql(text).to_pylist()]
                here = [list(row.values()) for row in found.dicts(sql, values)]
                assert len(there) == len(here), card.id
                for mine, theirs in zip(here, there, strict=True):
                    for a, b in zip(mine, theirs, strict=True):
                        same = a == b or (
                            isinstance(a, float | int) and math.isclose(a, float(str(b)), rel_tol=1e-9)
                        )
                        assert same, (card.id, mine, theirs)
