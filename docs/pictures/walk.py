"""Draws walk.svg: how a walk by page numbers loses a ticket, and how one by created time sees that it lost none.

python docs/pictures/walk.py            writes walk.svg beside this file
"""

from pathlib import Path
from typing import Final

_WIDTH: Final = 880
_CELL: Final = (86, 34)
_STYLE: Final = """
  text { font: 14px system-ui, "Segoe UI", "PingFang SC", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .note { fill: #59636e }
  .cell { fill: #f6f8fa; stroke: #818b98 }
  .read { fill: #ddf4ff; stroke: #0969da }
  .again { fill: #dafbe1; stroke: #1a7f37; stroke-width: 2 }
  .lost { fill: #ffebe9; stroke: #cf222e; stroke-width: 2 }
  .bad { fill: #cf222e; font-weight: 600 }
  .good { fill: #1a7f37; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note { fill: #9198a1 }
    .cell { fill: #151b23; stroke: #656c76 }
    .read { fill: #0c2d6b; stroke: #58a6ff }
    .again { fill: #033a16; stroke: #3fb950 }
    .lost { fill: #67060c; stroke: #f85149 }
    .bad { fill: #f85149 }
    .good { fill: #3fb950 }
  }"""
_TIMES: Final = {"A": "10:07", "B": "10:06", "C": "10:05", "D": "10:04", "E": "10:03", "F": "10:02", "G": "10:01"}


def picture() -> str:
    """Return the whole picture as SVG."""
    parts = [
        _text(20, 30, "By page numbers: three tickets a page", "title"),
        *_row(50, "page 1", "ABC", "read", "DEFG"),
        _text(20, 118, "B is closed, and leaves the list: all behind it slide up by one", "note"),
        *_row(132, "page 2", "EFG", "read", before="ACD", lost="D"),
        _text(20, 200, "D was on page 2 when page 1 was read, and is on page 1 now: nobody reads it", "bad"),
        _text(20, 256, "By created time: three tickets an answer", "title"),
        *_row(276, "first", "ABC", "read", "DEFG"),
        _text(20, 344, "B is closed, and leaves the list. Next: what was created until 10:05", "note"),
        *_row(358, "≤ 10:05", "CDE", "read", "FG", before="A", again="C"),
        _text(20, 426, "C comes again: nothing lies between the two answers, whatever has left or entered", "good"),
    ]
    body = "\n".join(parts)
    title = "How a walk by page numbers loses a ticket, and how one by created time does not"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="446" viewBox="0 0 {_WIDTH} 446" '
        f'role="img" aria-label="{title}">\n<title>{title}</title>\n<style>{_STYLE}\n</style>\n{body}\n</svg>\n'
    )


def _row(
    y: int, name: str, shown: str, kind: str, after: str = "", *, before: str = "", lost: str = "", again: str = ""
) -> list[str]:
    """Draw the list as it is at one moment; what is read is filled."""
    parts = [_text(20, y + 22, name, "note")]
    for place, ticket in enumerate(before + shown + after):
        style = "lost" if ticket in lost else "again" if ticket in again else kind if ticket in shown else "cell"
        parts.append(_cell(110 + place * (_CELL[0] + 8), y, ticket, style))
    return parts


def _cell(x: int, y: int, ticket: str, style: str) -> str:
    width, height = _CELL
    middle, base = x + width // 2, y + 22
    label = f'<text x="{middle}" y="{base}" text-anchor="middle">{ticket} {_TIMES[ticket]}</text>'
    return f'<rect class="{style}" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>{label}'


def _text(x: int, y: int, words: str, style: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{words}</text>'


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture(), "utf-8")
