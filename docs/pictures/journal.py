"""Draws journal.svg: what a batch writes on disk and when, how it is killed, and how the next run goes on.

python docs/pictures/journal.py         writes journal.svg beside this file
"""

from pathlib import Path
from typing import Final

_WIDTH, _HEIGHT = 880, 300
_STYLE: Final = """
  text { font: 14px system-ui, "Segoe UI", "PingFang SC", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .note { fill: #59636e }
  .line { stroke: #818b98; stroke-width: 2; fill: none }
  .disk { fill: #ddf4ff; stroke: #0969da }
  .sent { fill: #dafbe1; stroke: #1a7f37 }
  .kill { stroke: #cf222e; stroke-width: 3; fill: none }
  .bad { fill: #cf222e; font-weight: 600 }
  .good { fill: #1a7f37; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note { fill: #9198a1 }
    .line { stroke: #656c76 }
    .disk { fill: #0c2d6b; stroke: #58a6ff }
    .sent { fill: #033a16; stroke: #3fb950 }
    .kill { stroke: #f85149 }
    .bad { fill: #f85149 }
    .good { fill: #3fb950 }
  }"""
_BOX: Final = (118, 34)


def picture() -> str:
    """Return the whole picture as SVG."""
    parts = [
        _text(20, 30, "One change of a batch, and a kill -9 between its request and its answer", "title"),
        *_row(
            60,
            "first run",
            [("on disk: begun", "disk"), ("request", "sent"), ("(answer)", ""), ("(on disk: ended)", "")],
            killed_after=2,
        ),
        _text(450, 128, "killed: nobody knows whether it happened", "bad"),
        *_row(
            170,
            "next run",
            [("reads: begun", "disk"), ("looks for it", "sent"), ("on disk: ended", "disk"), ("goes on", "sent")],
        ),
        _text(
            158, 238, "Found: DONE. Proved that it is not there: sent. Neither: UNKNOWN, and never sent again", "good"
        ),
        _text(158, 270, "What ended before the kill is read from the disk, and skipped.", "note"),
    ]
    title = "A batch that is killed, and goes on"
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">\n<title>{title}</title>\n'
        f"<style>{_STYLE}\n</style>\n{body}\n</svg>\n"
    )


def _row(y: int, name: str, boxes: list[tuple[str, str]], killed_after: int | None = None) -> list[str]:
    """Draw the steps of one run, from left to right."""
    width, height = _BOX
    end = 850 if killed_after is None else 144 + killed_after * 170
    parts = [_text(20, y + 22, name, "note"), f'<path class="line" d="M150 {y + height // 2}H{end}"/>']
    for place, (words, kind) in enumerate(boxes):
        x = 160 + place * 170
        if kind:
            parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width + 20}" height="{height}" rx="4"/>')
        parts.append(_text(x + 10, y + 22, words, "" if kind else "note"))
    if killed_after is not None:
        parts.append(f'<path class="kill" d="M{end - 8} {y + 5}l16 24m0 -24l-16 24"/>')
    return parts


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{text}</text>'


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture(), "utf-8")
