"""A list of any length, spread evenly over time, of which a page is made when it is asked for.

The newest ticket comes first. Of all filters it knows those of created time, both ends included; the rows are those of
the first canned page, with other ids and times.
"""

from typing import Any

import orjson

from benchmarks.pages import FIRST_CREATED, FIRST_ID, PAGE_SIZE, SECONDS_APART, page

_CREATED = b"2222222222"
_ID = b"1111111111"


class SpreadList:
    """The list: `total` tickets, one every 61 seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        rows = orjson.loads(page(1, PAGE_SIZE))["data"]["tickets"]
        self._templates = [_template(row) for row in rows]

    def answer(self, request: dict[str, Any]) -> bytes:
        """Return the answer to a request to `list_tickets`."""
        size = min(request["page_size"], PAGE_SIZE)
        low, high = self._created(request.get("created_start") or 0, request.get("created_end"))
        newest = high - (request["page"] - 1) * size
        rows = b",".join(map(self._row, range(newest, max(low - 1, newest - size), -1)))
        return (
            b'{"data":{"pagination":{"page_size":%d,"total":%d},"tickets":[%b]},"errmsg":"OK","errno":10000,'
            b'"request_id":"spread"}' % (size, max(0, high - low + 1), rows)
        )

    def _created(self, start: int, end: int | None) -> tuple[int, int]:
        """Return the first and the last of the tickets created in these seconds, counted from the oldest."""
        low = max(0, -((FIRST_CREATED - start) // SECONDS_APART))
        last = self._total - 1
        return low, min(last, (end - FIRST_CREATED) // SECONDS_APART) if end else last

    def _row(self, index: int) -> bytes:
        template = self._templates[index % len(self._templates)]
        return template % (FIRST_CREATED + index * SECONDS_APART, FIRST_ID + index)


def _template(row: dict[str, Any]) -> bytes:
    body = orjson.dumps({**row, "created_time": int(_CREATED), "id": int(_ID)})
    return body.replace(b"%", b"%%").replace(_CREATED, b"%d", 1).replace(_ID, b"%d", 1)
