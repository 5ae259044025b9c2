"""Lists spread evenly over time, the newest ticket first; they know filters by created time, both ends included.

Of a `CannedList` all rows are made at its start. Of a `SpreadList`, which may be of any length, a row is made when it
is asked for: those of the first canned page, with other ids and times.
"""

from typing import Any

import orjson

from benchmarks.pages import FIRST_CREATED, FIRST_ID, PAGE_SIZE, SECONDS_APART, page, pages

_CREATED = b"2222222222"
_ID = b"1111111111"


class SpreadList:
    """A list of `total` tickets, one every 61 seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        rows = orjson.loads(page(1, PAGE_SIZE))["data"]["tickets"]
        self._templates = [_template(row) for row in rows]

    def rows(self, newest: int, oldest: int) -> list[bytes]:
        """Return rows from one to another, counted from the oldest ticket; the newest comes first."""
        return [
            self._templates[index % len(self._templates)] % (FIRST_CREATED + index * SECONDS_APART, FIRST_ID + index)
            for index in range(newest, oldest - 1, -1)
        ]

    def answer(self, request: dict[str, Any]) -> bytes:
        """Return the answer to a request to `list_tickets`."""
        size = min(request.get("page_size", PAGE_SIZE), PAGE_SIZE)
        low, high = self._created(request.get("created_start") or 0, request.get("created_end"))
        newest = high - (request["page"] - 1) * size
        rows = b",".join(self.rows(newest, max(low, newest - size + 1)))
        return (
            b'{"data":{"pagination":{"page_size":%d,"total":%d},"tickets":[%b]},"errmsg":"OK","errno":10000,'
            b'"request_id":"spread"}' % (size, max(0, high - low + 1), rows)
        )

    def _created(self, start: int, end: int | None) -> tuple[int, int]:
        """Return the first and the last of the tickets created in these seconds, counted from the oldest."""
        low = max(0, -((FIRST_CREATED - start) // SECONDS_APART))
        last = self._total - 1
        return low, min(last, (end - FIRST_CREATED) // SECONDS_APART) if end else last


class CannedList(SpreadList):
    """The same, with the rows of all canned pages at hand."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        bodies = pages(total)
        self._canned = [orjson.dumps(row) for body in bodies for row in orjson.loads(body)["data"]["tickets"]]

    def rows(self, newest: int, oldest: int) -> list[bytes]:
        """Return rows from one to another, counted from the oldest ticket; the newest comes first."""
        return self._canned[self._total - 1 - newest : self._total - oldest]


def _template(row: dict[str, Any]) -> bytes:
    body = orjson.dumps({**row, "created_time": int(_CREATED), "id": int(_ID)})
    return body.replace(b"%", b"%%").replace(_CREATED, b"%d", 1).replace(_ID, b"%d", 1)
