"""The page of a report: one file that opens without a network; each table draws its numbers as bars under its rows.

It has no script and no link, and a policy lets nothing load. Tables are as narrow as a phone; on a wide screen they
stand side by side.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Final, Literal, TypeAlias

from workorder_async.document import TicketStatus, TicketType
from workorder_async.document.fields import iso
from workorder_async.mirror.figures import Figures
from workorder_async.plain_text import safe

Language: TypeAlias = Literal["zh", "en"]
Words: TypeAlias = Callable[[str], str]
Row: TypeAlias = tuple[Sequence[str | int], Sequence[int]]
"""The cells of a row, and the numbers of those behind the first that bars stand for."""
Table: TypeAlias = tuple[str, Sequence[str], Sequence[Row]]
"""A title, the names of the columns, and the rows."""

_CHINESE: Final = {
    "Tickets": "工单",
    "tickets": "工单数",
    "open": "未关闭",
    "handled by nobody": "无人处理",
    "median time to close": "关闭用时（中位数）",
    "as of": "数据截至",
    "Days and weeks are of China.": "日期和周按中国时间。",
    "By status": "按状态",
    "By type": "按类型",
    "By product line": "按产品线",
    "others": "其他",
    "without a name": "未填写",
    "By week": "按周",
    "week from": "周（起）",
    "created": "新建",
    "closed": "关闭",
    "Time to close": "关闭用时",
    "Time in a status": "在各状态停留的时间",
    "all": "全部",
    "median": "中位数",
    "nine of ten within": "九成在此之内",
    "measured": "样本数",
    "Open the longest": "未关闭最久的工单",
    "number": "工单号",
    "title": "标题",
    "status": "状态",
    "since": "自",
    "handled": "有人处理",
    "no": "否",
    "yes": "是",
    "days": "天",
    "hours": "小时",
    "minutes": "分钟",
    "There are no tickets.": "没有工单。",
}
_ENGLISH: Final = {
    one.label: one.name.lower().replace("_", " ") for kind in (TicketStatus, TicketType) for one in kind if one.label
}
HEAD: Final = """\
<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c2430; --dim: #5c6675; --line: #d5dae2; --one: #2f6fb4; --two: #b4572f;
--good: #1a7f37; --bad: #b3261e }}
@media (prefers-color-scheme: dark) {{
:root {{ --ink: #e6eaf0; --dim: #9aa5b5; --line: #39424f; --one: #6fa8e8; --two: #e8986f;
--good: #6fdc8c; --bad: #ff8a80 }} }}
body {{ font: 15px/1.5 system-ui, "PingFang SC", "Microsoft YaHei", sans-serif; color: var(--ink); max-width: 76rem;
margin: 1.5rem auto; padding: 0 .6rem }}
h1 {{ font-size: 1.5rem }} h1, h2, td {{ overflow-wrap: anywhere }} h2 {{ font-size: 1.1rem; margin: .2rem 0 }}
main {{ columns: 21rem; column-gap: 1.8rem }} section {{ break-inside: avoid; padding-bottom: 1.5rem }}
dl {{ display: flex; flex-wrap: wrap; gap: .5rem 2.5rem }}
dt {{ color: var(--dim) }} dd {{ margin: 0; font-size: 1.6rem }}
table {{ border-collapse: collapse; width: 100%; font-size: .87rem; margin-top: .5rem }}
th, td {{ border-bottom: 1px solid var(--line); padding: .2rem .4rem; text-align: start; vertical-align: top }}
th {{ color: var(--dim); font-weight: 500 }} td:first-child {{ min-width: 7.2rem }}
main td {{ border: 0 }} main :is(th, td) + * {{ text-align: end }} main td + td {{ white-space: nowrap }}
main th:nth-child(2) {{ color: var(--one) }} main th:nth-child(3) {{ color: var(--two) }}
i {{ display: block; border-top: 6px solid var(--one) }} i + i {{ border-color: var(--two) }}
div {{ overflow-x: auto }} div td:nth-child(-n+4) {{ white-space: nowrap }} div td:nth-child(n+5) {{ min-width: 14rem }}
.done :nth-child(2), .already :nth-child(2) {{ color: var(--good) }} .unknown :nth-child(2) {{ color: var(--two) }}
.rejected :nth-child(2), .not :nth-child(2) {{ color: var(--bad) }}
@media print {{ body {{ max-width: none; margin: 0 }} }}</style></head>
"""
"""The begin of a page, also that of a journal: with a language, and a title, which is escaped."""


def words_of(language: Language) -> Words:
    """Return the function that says an English word of ours, or a name of the API document, in a language."""
    known = _CHINESE if language == "zh" else _ENGLISH
    return lambda said: known.get(said, said)


def page_of(figures: Figures, name: str, language: Language = "en") -> Iterator[str]:
    """Yield the parts of the page, in Chinese or in English; `name` is where the tickets are from."""
    word = words_of(language)
    title = escape(safe(f"{word('Tickets')}: {name}"))
    yield HEAD.format(language="zh-CN" if language == "zh" else "en", title=title)
    as_of = f"{word('as of')} {day(figures.as_of, 16)}. " if figures.as_of else ""
    yield f"<body><h1>{title}</h1>\n<p>{as_of}{word('Days and weeks are of China.')}</p>\n<dl>"
    tiles = [(said, f"{count:,}") for said, count in totals_of(figures)]
    tiles += [("median time to close", lasting(one.median, word)) for one in figures.to_close[:1]]
    for said, value in tiles:
        yield f"<div><dt>{word(said)}</dt><dd>{value}</dd></div>"
    yield "</dl>\n<main>\n"
    if not figures.tickets:
        yield f"<p>{word('There are no tickets.')}</p>\n"
    for table in measured_of(figures, word):
        yield from _section(*table)
    yield "</main>\n"
    yield from _section(*oldest_of(figures, word))
    yield "</body></html>\n"


def day(seconds: int, length: int = 10) -> str:
    """Write a moment in China: its day, or with a length of 16 its minute."""
    written = iso(seconds)
    return str(seconds) if written is None else written.replace("T", " ")[:length]


def lasting(seconds: int, word: Words) -> str:
    """Write how long something lasts, with one unit that suits it."""
    for unit, size in (("days", 86400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {word(unit)}"
    return f"{max(1, round(seconds / 60))} {word('minutes')}"


def totals_of(figures: Figures) -> list[tuple[str, int]]:
    """Return the counts that stand above all tables, each with its English name."""
    counts = (("tickets", figures.tickets), ("open", figures.open), ("handled by nobody", figures.unhandled))
    return [(said, count) for said, count in counts if count is not None]


def measured_of(figures: Figures, word: Words) -> Iterator[Table]:
    """Yield the tables that have bars, in the words of a language; some may have no rows."""
    by = {"By status": figures.by_status, "By type": figures.by_type, "By product line": figures.by_product_line}
    for title, counts in by.items():
        yield word(title), ("", word("tickets")), [((word(name), count), (count,)) for name, count in counts]
    weeks = [((day(one.start), one.created, one.closed), (one.created, one.closed)) for one in figures.weeks]
    yield word("By week"), (word("week from"), word("created"), word("closed")), weeks
    heads = ("", word("median"), word("nine of ten within"), word("measured"))
    for title, lasts in (("Time to close", figures.to_close), ("Time in a status", figures.in_status)):
        rows = [
            ((word(one.name), lasting(one.median, word), lasting(one.ninth, word), one.count), (one.median, one.ninth))
            for one in lasts
        ]
        yield word(title), heads, rows


def oldest_of(figures: Figures, word: Words) -> Table:
    """Return the table of the tickets that have been open for longest."""
    handled = {True: word("yes"), False: word("no"), None: ""}
    rows: list[Row] = [
        ((str(one.id), day(one.created_time), word(one.status), one.title, handled[one.is_handled]), ())
        for one in figures.oldest
    ]
    heads = [word(one) for one in ("number", "since", "status", "title", "handled")]
    return word("Open the longest"), heads, rows


def _section(title: str, heads: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table, each row with its bars; nothing where it has no rows."""
    if not rows:
        return
    most = max((number for _, numbers in rows for number in numbers), default=0) or 1
    yield f"<section><h2>{title}</h2>\n<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>\n"
    for cells, numbers in rows:
        texts = (escape(safe(cell)) if isinstance(cell, str) else f"{cell:,}" for cell in cells)
        yield f"<tr>{''.join(f'<td>{text}</td>' for text in texts)}</tr>\n"
        if numbers:
            bars = "".join(f'<i style="width: {100 * number / most:.1f}%"></i>' for number in numbers)
            yield f'<tr aria-hidden="true"><td colspan="{len(cells)}">{bars}</td></tr>\n'
    yield "</table></section>\n"
