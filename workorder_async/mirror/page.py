"""The page of a report: one file that opens without a network, with its own pictures, and a table under each.

It has no script and no link, and a policy lets nothing load. Charts are 340 wide, so that their words can be read on a
phone; on a wide screen they stand side by side, larger.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Final, Literal, TypeAlias
from unicodedata import east_asian_width

from workorder_async.document import TicketStatus, TicketType
from workorder_async.document.fields import CHINA_STANDARD_TIME
from workorder_async.mirror.figures import Counts, Durations, Figures, Week

Language: TypeAlias = Literal["zh", "en"]
Words: TypeAlias = Callable[[str], str]

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
svg {{ width: 100%; max-width: 34rem; height: auto; display: block }} svg text {{ font-size: 12px; fill: var(--ink) }}
svg .dim {{ fill: var(--dim) }} .one {{ fill: var(--one) }} .two {{ fill: none; stroke: var(--two); stroke-width: 2 }}
.axis {{ stroke: var(--line) }} table {{ border-collapse: collapse; width: 100%; font-size: .87rem; margin-top: .5rem }}
th, td {{ border-bottom: 1px solid var(--line); padding: .2rem .4rem; text-align: start; vertical-align: top }}
td:first-child {{ min-width: 7.2rem }}
th {{ color: var(--dim); font-weight: 500 }} .n {{ text-align: end; font-variant-numeric: tabular-nums }}
div {{ overflow-x: auto }} div td:nth-child(-n+4) {{ white-space: nowrap }} div td:nth-child(n+5) {{ min-width: 14rem }}
.done :nth-child(2), .already :nth-child(2) {{ color: var(--good) }} .unknown :nth-child(2) {{ color: var(--two) }}
.rejected :nth-child(2), .not :nth-child(2) {{ color: var(--bad) }}
@media print {{ body {{ max-width: none; margin: 0 }} }}</style></head>
"""
"""How a page begins, also that of a journal: what depends on the language, and the title, which is escaped."""
_WIDTH: Final = 340


def words_of(language: Language) -> Words:
    """Return the function that says an English word of ours, or a name of the API document, in a language."""
    known = _CHINESE if language == "zh" else _ENGLISH
    return lambda said: known.get(said, said)


def page_of(figures: Figures, name: str, language: Language = "en") -> Iterator[str]:
    """Yield the parts of the page, in Chinese or in English; `name` is where the tickets are from."""
    word = words_of(language)

    title = escape(f"{word('Tickets')}: {name}")
    yield HEAD.format(language="zh-CN" if language == "zh" else "en", title=title)
    as_of = f"{word('as of')} {day(figures.as_of, 16)}. " if figures.as_of else ""
    yield f"<body><h1>{title}</h1>\n<p>{as_of}{word('Days and weeks are of China.')}</p>\n<dl>"
    counts = (("tickets", figures.tickets), ("open", figures.open), ("handled by nobody", figures.unhandled))
    tiles = [(said, f"{count:,}") for said, count in counts if count is not None]
    tiles += [("median time to close", lasting(one.median, word)) for one in figures.to_close[:1]]
    for said, value in tiles:
        yield f"<div><dt>{word(said)}</dt><dd>{value}</dd></div>"
    yield "</dl>\n<main>\n"
    if not figures.tickets:
        yield f"<p>{word('There are no tickets.')}</p>\n"
    else:
        yield from _counted("By status", figures.by_status, word)
        yield from _counted("By type", figures.by_type, word)
        yield from _counted("By product line", figures.by_product_line, word)
        yield from _weekly(figures.weeks, word)
        yield from _lasting("Time to close", figures.to_close, word)
        yield from _lasting("Time in a status", figures.in_status, word)
    yield "</main>\n"
    yield from _oldest(figures, word)
    yield "</body></html>\n"


def day(seconds: int, length: int = 10) -> str:
    """Write a moment in China: its day, or with a length of 16 its minute."""
    try:
        return datetime.fromtimestamp(seconds, CHINA_STANDARD_TIME).isoformat(" ", "minutes")[:length]
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def lasting(seconds: int, word: Words) -> str:
    """Write how long something lasts, with one unit that suits it."""
    for unit, size in (("days", 86400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {word(unit)}"
    return f"{max(1, round(seconds / 60))} {word('minutes')}"


# The sections


def _section(
    title: str, picture: Iterable[str], heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: range
) -> Iterator[str]:
    """Yield a picture and its table, whose columns at these places hold numbers; nothing where that has no rows."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="n">{escape(cell)}</{tag}>' if place in numbers else f"<{tag}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(row)
        )

    if rows:
        yield f"<section><h2>{title}</h2>\n"
        yield from picture
        yield f"<table><tr>{cells('th', heads)}</tr>\n"
        yield from (f"<tr>{cells('td', row)}</tr>\n" for row in rows)
        yield "</table></section>\n"


def _counted(title: str, counts: Counts, word: Words) -> Iterator[str]:
    """Yield a chart of counts, and their table."""
    bars = [(word(name), count, f"{count:,}") for name, count in counts]
    rows = [(name, said) for name, _, said in bars]
    return _section(word(title), _bars(word(title), bars), ("", word("tickets")), rows, range(1, 2))


def _weekly(weeks: Sequence[Week], word: Words) -> Iterator[str]:
    """Yield a chart of what was created and closed in each week, and the table."""
    rows = [(day(week.start), f"{week.created:,}", f"{week.closed:,}") for week in weeks]
    heads = (word("week from"), word("created"), word("closed"))
    return _section(word("By week"), _columns(weeks, word), heads, rows, range(1, 3))


def _lasting(title: str, durations: Sequence[Durations], word: Words) -> Iterator[str]:
    """Yield a chart of medians, and the table."""
    bars = [(word(one.name), one.median, lasting(one.median, word)) for one in durations]
    rows = [
        (word(one.name), lasting(one.median, word), lasting(one.ninth, word), f"{one.count:,}") for one in durations
    ]
    picture = _bars(f"{word(title)}: {word('median')}", bars)
    heads = ("", word("median"), word("nine of ten within"), word("measured"))
    return _section(word(title), picture, heads, rows, range(1, 4))


def _oldest(figures: Figures, word: Words) -> Iterator[str]:
    handled = {True: word("yes"), False: word("no"), None: ""}
    rows = [
        (str(one.id), one.title, word(one.status), day(one.created_time), handled[one.is_handled])
        for one in figures.oldest
    ]
    heads = [word(one) for one in ("number", "title", "status", "since", "handled")]
    return _section(word("Open the longest"), (), heads, rows, range(1))


# The pictures


def _svg(title: str, height: int) -> str:
    said = escape(title)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{said}"><title>{said}</title>\n'


def _bars(title: str, bars: Sequence[tuple[str, int, str]]) -> Iterator[str]:
    """Yield horizontal bars, the name and the value above each."""
    yield _svg(title, 34 * len(bars))
    most = max(1, *(value for _, value, _ in bars))
    for place, (name, value, said) in enumerate(bars):
        y = 34 * place
        room = _WIDTH - 14 - _width(said)
        yield f'<text x="0" y="{y + 12}">{escape(_cut(name, room))}</text>'
        yield f'<text class="dim" x="{_WIDTH}" y="{y + 12}" text-anchor="end">{escape(said)}</text>'
        width = max(1.0, _WIDTH * value / most)
        yield f'<rect class="one" x="0" y="{y + 17}" width="{width:.1f}" height="9" rx="2"/>\n'
    yield "</svg>\n"


def _columns(weeks: Sequence[Week], word: Words) -> Iterator[str]:
    """Yield what was created in each week as columns, and what was closed as a line."""
    yield _svg(f"{word('By week')}: {word('created')}, {word('closed')}", 192)
    most = max(1, *(count for week in weeks for count in (week.created, week.closed)))
    step, floor, room = _WIDTH / len(weeks), 150, 126
    yield f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{floor}" y2="{floor}"/>'
    yield f'<text class="dim" x="0" y="12">{most:,}</text>\n'
    for place, week in enumerate(weeks):
        height = room * week.created / most
        yield (
            f'<rect class="one" x="{place * step + 1:.1f}" y="{floor - height:.1f}" '
            f'width="{max(1.0, step - 2):.1f}" height="{height:.1f}"/>'
        )
    points = " ".join(
        f"{(place + 0.5) * step:.1f},{floor - room * week.closed / most:.1f}" for place, week in enumerate(weeks)
    )
    yield f'\n<polyline class="two" points="{points}"/>\n'
    yield f'<text class="dim" x="0" y="166">{day(weeks[0].start)}</text>'
    if len(weeks) > 1:
        yield f'<text class="dim" x="{_WIDTH}" y="166" text-anchor="end">{day(weeks[-1].start)}</text>'
    yield f'<rect class="one" x="0" y="176" width="10" height="10"/><text x="15" y="186">{word("created")}</text>'
    yield '<line class="two" x1="110" x2="124" y1="181" y2="181"/>'
    yield f'<text x="129" y="186">{word("closed")}</text>\n'
    yield "</svg>\n"


def _width(text: str) -> float:
    """Return about how wide a text is, in the units of a picture."""
    return sum(12.5 if east_asian_width(one) in "WF" else 7.2 for one in text)


def _cut(text: str, room: float) -> str:
    """Return a text that has room; a longer one ends in an ellipsis."""
    text = " ".join(text.split())[:_WIDTH]
    if _width(text) <= room:
        return text
    while text and _width(text) > room - 12.5:
        text = text[:-1]
    return f"{text}…"
