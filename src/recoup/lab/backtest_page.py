"""A backtest as one HTML page that needs nothing else: the sentence, a picture of the intervals, the table, the remarks."""

from collections.abc import Sequence
from html import escape

from recoup.lab.backtest import KINDS, Backtest
from recoup.lab.backtest_words import NAMES, called, first_up, remarks, rows, sentence
from recoup.lab.estimate import Figure

STYLE = """
:root{--ink:#1c2430;--soft:#5b6675;--line:#e3e7ec;--paper:#fff;--wash:#f6f7f9;--accent:#0b6e4f;--warn:#9a5b00;--warn-wash:#fdf3e1}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf1;--soft:#9aa6b4;--line:#2b333d;--paper:#171c22;--wash:#0f1317;--accent:#4fc79b;--warn:#f0b75e;--warn-wash:#33270f}}
*{box-sizing:border-box}
body{margin:0;font:15px/1.5 ui-sans-serif,system-ui,"Segoe UI",Roboto,"Noto Sans",sans-serif;color:var(--ink);background:var(--wash);font-variant-numeric:tabular-nums}
main{max-width:860px;margin:32px auto;padding:0 20px;display:grid;gap:20px}
h1{font-size:22px;line-height:1.35;margin:0;letter-spacing:-.01em}
h2{font-size:15px;margin:0 0 12px}
.card{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:18px 20px;overflow-x:auto}
.no{background:var(--warn-wash);border-color:var(--warn)}
.sub{color:var(--soft);font-size:13px;margin:0}
table{width:100%;border-collapse:collapse}
th{font-size:12px;text-align:right;color:var(--soft);font-weight:500;padding:6px 8px;border-bottom:1px solid var(--line)}
td{padding:9px 8px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal}
tr:last-child td{border:0}
li{margin:0 0 8px}ul{margin:0;padding-left:20px;color:var(--soft)}
.f{--c:var(--accent);margin:0 0 14px}.f.was{--c:var(--soft)}
.rail{position:relative;height:14px;margin-top:6px;background:var(--wash);border-radius:7px}
.rail i{position:absolute;top:3px;height:8px;border-radius:4px;background:var(--c);opacity:.4}
.rail u{position:absolute;top:1px;width:12px;height:12px;margin-left:-6px;border-radius:50%;background:var(--c)}
.ends{display:flex;justify-content:space-between;color:var(--soft);font-size:12px}
@media(max-width:600px){h1{font-size:19px}main{margin:20px auto;padding:0 14px}td{padding:8px 4px;white-space:normal;font-size:14px}th{padding:6px 4px;overflow-wrap:anywhere}}
"""


def page(b: Backtest) -> str:
    """The whole page."""
    says = escape(sentence(b))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>Backtest of {escape(called(b))}</title><style>{STYLE}</style></head><body><main>",
        f'<h1>{says}</h1><p class="sub">{escape(_about(b))}</p>',
    ]
    if b.refusal is not None:
        parts.append(
            f'<section class="card no"><h2>What would help</h2>{escape(first_up(b.refusal.do))}.</section>'
        )
    else:
        parts.append(f'<section class="card"><h2>Failed payments recovered</h2>{_picture(b)}</section>')
        parts.append(f'<section class="card"><h2>The figures</h2>{_table(b)}</section>')
    listed = "".join(f"<li>{escape(line)}</li>" for line in remarks(b, advice=False))
    parts.append(f'<section class="card"><h2>How far this can be trusted</h2><ul>{listed}</ul></section>')
    return "\n".join([*parts, "</main></body></html>\n"])


def _about(b: Backtest) -> str:
    logs = ", ".join(f"{name} ({n} cases)" for name, n in b.log_policies.items())
    return f"A backtest on {b.cases} finished cases{f' decided by {logs}' if logs else ''}; held against {b.policy}, model {b.model}."


def _table(b: Backtest) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows(b))
    heads = ("", "As it was", f"With {called(b)}", "Difference, 95 % interval")
    return f"<table><tr>{''.join(f'<th>{escape(h)}</th>' for h in heads)}</tr>{body}</table>"


def _picture(b: Backtest) -> str:
    """Each figure as a dot on its interval, one below the other on one scale."""
    lines = [
        ("As it was", b.recovered[0].log),
        *zip(_called(b), [e.policy for e in b.recovered], strict=True),
    ]
    low, high = min(f.low for _, f in lines), max(f.high for _, f in lines)
    room = max((high - low) * 0.1, 0.005)
    low, high = max(0.0, low - room), min(1.0, high + room)
    drawn = "".join(_line(n, name, f, low, high) for n, (name, f) in enumerate(lines))
    return f'{drawn}<div class="ends"><span>{low:.1%}</span><span>{high:.1%}</span></div>'


def _called(b: Backtest) -> Sequence[str]:
    return [f"With {called(b)}, {NAMES[kind]}" for kind in KINDS]


def _line(n: int, name: str, f: Figure, low: float, high: float) -> str:
    left, at, right = ((v - low) / (high - low) * 100 for v in (f.low, f.value, f.high))
    return (
        f'<div class="f{"" if n else " was"}">{escape(name)}: <b>{f.value:.1%}</b> '
        f'<span class="sub">[{f.low:.1%}, {f.high:.1%}]</span>'
        f'<div class="rail"><i style="left:{left:.1f}%;width:{right - left:.1f}%"></i><u style="left:{at:.1f}%"></u></div></div>'
    )
