"""Draws drift.svg: how many tickets a loop over page numbers loses, against how many leave between two pages.

python docs/pictures/drift.py           plays the loop, and writes drift.svg beside this file
"""

from pathlib import Path
from random import Random
from typing import Final

_TICKETS: Final = 5000
_PAGE: Final = 100
_GAMES: Final = 20
_LEAVING: Final = range(11)
_WIDTH, _HEIGHT = 880, 380
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 60, 250, 320
_STYLE: Final = """
  text { font: 14px system-ui, "Segoe UI", "PingFang SC", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .note { fill: #59636e }
  .axis { stroke: #818b98 }
  .numbers { stroke: #cf222e; fill: none; stroke-width: 2 }
  .time { stroke: #1a7f37; fill: none; stroke-width: 2 }
  .bad { fill: #cf222e; font-weight: 600 }
  .good { fill: #1a7f37; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note { fill: #9198a1 }
    .axis { stroke: #656c76 }
    .numbers { stroke: #f85149 }
    .time { stroke: #3fb950 }
    .bad { fill: #f85149 }
    .good { fill: #3fb950 }
  }"""


def lost(leaving: int, random: Random) -> int:
    """Read a list page by page while tickets leave it; return how many that stayed were never seen."""
    tickets, seen, page = [*range(_TICKETS)], set[int](), 0
    while page * _PAGE < len(tickets):
        seen.update(tickets[page * _PAGE : (page + 1) * _PAGE])
        page += 1
        for _ in range(leaving):
            tickets.pop(random.randrange(len(tickets)))
    return len(set(tickets) - seen)


def picture() -> str:
    """Return the whole picture as SVG."""
    random = Random(1)
    means = [sum(lost(leaving, random) for _ in range(_GAMES)) / _GAMES for leaving in _LEAVING]
    most = max(means)
    step = (_WIDTH - _LEFT - _RIGHT) / (len(means) - 1)

    def y(value: float) -> float:
        return _BOTTOM - value / most * (_BOTTOM - _TOP)

    points = " ".join(f"{_LEFT + step * place:.0f},{y(mean):.0f}" for place, mean in enumerate(means))
    end = _LEFT + step * (len(means) - 1)
    parts = [
        _text(20, 30, f"Tickets lost of {_TICKETS:,}, {_PAGE} on a page: the mean of {_GAMES} walks", "title"),
        f'<path class="axis" d="M{_LEFT} {_TOP}V{_BOTTOM}H{end:.0f}" fill="none"/>',
        *(_text(_LEFT + step * leaving - 4, _BOTTOM + 22, str(leaving), "note") for leaving in _LEAVING[::2]),
        _text(_LEFT, _BOTTOM + 44, "tickets that leave the list between two pages", "note"),
        *(_text(20, y(value) + 5, f"{value:.0f}", "note") for value in (0, most / 2, most)),
        f'<polyline class="numbers" points="{points}"/>',
        f'<path class="time" d="M{_LEFT} {_BOTTOM}H{end:.0f}"/>',
        _text(end + 12, y(means[-1]) + 5, "a loop over page numbers", "bad"),
        _text(end + 12, _BOTTOM + 5, "a walk by created time: none", "good"),
    ]
    title = "Tickets that a loop over page numbers loses, against the tickets that leave between two pages"
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">\n<title>{title}</title>\n'
        f"<style>{_STYLE}\n</style>\n{body}\n</svg>\n"
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{text}</text>'


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture(), "utf-8")
