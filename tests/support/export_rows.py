"""Rows for exports: plausible ones, hostile ones, what their cells must be, and each format written and read back."""

import csv
import gzip
import io
import random
import sqlite3
import sys
import warnings
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import attrs
import orjson

from workorder_async.document import (
    AssignStatus,
    Attachment,
    CustomerInfo,
    FormFieldType,
    OpenEnum,
    Priority,
    Tag,
    TicketAssign,
    TicketDetail,
    TicketFlowHistory,
    TicketFormField,
    TicketStatus,
    TicketSummary,
    TicketType,
)
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS
from workorder_async.exports.formats import format_of
from workorder_async.exports.sink import Record, TextChanges

#: Texts that somebody's software once fell over.
HOSTILE = {
    "nothing": "",
    "blank": "  \u3000 ",
    "nul": "a\0b\0",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80\x85",
    "line feeds": "one\ntwo\r\nthree\rfour\n",
    "separators": "\u2028\u2029",
    "quotes": 'he said "no", then "" and \'\'',
    "comma": ",;|\t,",
    "high surrogate": "a\ud83db",
    "low surrogate": "\udc00",
    "swapped pair": "\ude00\ud83d",
    "right to left": "\u202eevil\u202c \u200f\u200e\u2066x\u2069",
    "astral": "😀𠀀🏳️‍🌈",
    "no characters": "\ufffe\uffff\ufeff\ufffd",
    "combining": "e\u0301" * 20 + "\u0300" * 50,
    "formula": '=HYPERLINK("http://x.invalid","y")',
    "plus": "+86 10 6292 7777",
    "minus": "-1+1",
    "at": "@SUM(1+1)",
    "tab": "\t=1",
    "carriage return": "\r=1",
    "link": "https://x.invalid/a?b=c",
    "number": "0012345678901234567890",
    "true": "TRUE",
    "date": "2021-11-11",
    "escape of XLSX": "_x0041_ _x000D_ _x005F_",
    "markup": "<script>&amp;]]></script><!-- -->",
    "apostrophe": "'=1",
    "long": "工单" * 20_000,
    "long astral": "😀" * 20_000,
    "megabyte": "一千零一夜" * 70_000,
}
#: Half a pair becomes this in all formats.
REPLACED = {"high surrogate": "a\ufffdb", "low surrogate": "\ufffd", "swapped pair": "\ufffd\ufffd"}


def hostile_tickets() -> list[TicketSummary]:
    """Return a ticket for each hostile text, which is its title, and one for its whole numbers."""
    found = [
        TicketSummary(id=place, title=text, detail=name, status=TicketStatus(2), created_time=1_700_000_000)
        for place, (name, text) in enumerate(HOSTILE.items(), 1)
    ]
    odd = TicketSummary(
        id=2**63 - 1,
        status=TicketStatus("搁置"),
        type=TicketType(99),
        handler=-(2**63),
        created_time=-1,
        closed_time=253_402_214_400,
    )
    return [*found, odd]


def tickets(count: int, seed: int = 1) -> list[TicketSummary]:
    """Return plausible tickets, the same each time."""
    chance = random.Random(seed)
    return [
        TicketSummary(
            id=1000 + index,
            title=f"实例无法远程登录 {index}",
            detail="客户反馈业务高峰期出现异常，已按文档重启并检查网络配置，现象依旧，请协助定位原因。"
            * chance.randint(1, 4),
            status=TicketStatus(chance.randint(1, 4)),
            type=TicketType(chance.randint(1, 3)),
            sub_type=chance.randint(11, 19),
            second_subtype=chance.randint(111, 199),
            priority=Priority(chance.randint(1, 3)),
            product_group="云服务器",
            customer_organization_name="某某科技有限公司",
            customer_user_id=str(73_400_000 + index),
            creator_name="田金秀",
            handler=40084,
            manager=40085,
            need_process=chance.random() < 0.5,
            tags="网络,重要",
            form_values='{"地域":"北京"}',
            reported_time=1_700_000_000 + index * 60,
            created_time=1_700_000_100 + index * 60,
            closed_time=chance.choice((0, 1_700_009_999 + index * 60)),
        )
        for index in range(count)
    ]


def full_ticket(id: int = 1473, text: str = "详情") -> TicketDetail:
    """Return a full record with something in each of its lists."""
    steps = [TicketFlowHistory(id=place, action=place, detail=text, created_time=1_700_000_000) for place in (7, 8)]
    return TicketDetail(
        id=id,
        title=text,
        status=TicketStatus.PROCESSING,
        created_time=1_700_000_000,
        customer_info=[CustomerInfo(user_id=5, level=None), CustomerInfo(user_id=6, business_director_name=text)],
        assigns=[
            TicketAssign(id=1, ticket_id=id, status=AssignStatus.FINISHED, history=steps),
            TicketAssign(id=2, ticket_id=id, status=AssignStatus(9), user_name=text, history=steps[:1]),
        ],
        attachment=[Attachment(file_name=text, file_path="https://ks3.invalid/1", file_size=3, author=9)],
        handle_attachment=[Attachment(file_name="b.log")],
        tags=[Tag(id=3, name=text, is_enabled=True), Tag(id=4, name="乙")],
        form_define=[TicketFormField(id=1, type=FormFieldType.TEXT, display_name=text, is_required=True)],
        form_values={"地域": text, "数量": [1, 2.5, None, True]},
    )


def cells(model: object) -> dict[str, object]:
    """Return what the columns of a model hold, said once more and more slowly than by the package."""
    found: dict[str, object] = {}
    for field in attrs.fields(cast("type[attrs.AttrsInstance]", type(model))):
        value = getattr(model, field.name)
        found[field.name] = value
        if isinstance(value, OpenEnum):
            found[field.name] = value.value if isinstance(value.value, int) else None
            found[f"{field.name}_name"] = value.label if value.is_known or isinstance(value.value, str) else None
        elif field.name.endswith("_time"):
            moment = getattr(model, field.name.removesuffix("time") + "at")
            found[field.name.removesuffix("time") + "at"] = None if moment is None else moment.isoformat()
        elif isinstance(value, list):
            parts = [attrs.asdict(part, value_serializer=_plain) for part in value]
            found[field.name] = orjson.dumps(parts).decode()
        elif isinstance(value, dict):
            found[field.name] = orjson.dumps(value).decode()
    return found


def _plain(instance: type, field: object, value: object) -> object:
    return value.value if isinstance(value, OpenEnum) else value


def as_read(path: Path, row: dict[str, object]) -> dict[str, object]:
    """Return what a reader of this file finds for these cells."""
    kind = format_of(path).name.partition(".")[0]
    return {name: _as_read(kind, name, cell) for name, cell in row.items()}


def _as_read(kind: str, name: str, cell: object) -> object:
    match kind, cell:
        case "csv", None:
            return ""
        case "csv", _:
            return str(cell).lower() if isinstance(cell, bool) else str(cell)
        case "parquet", str() if name.endswith("_at"):
            return datetime.fromisoformat(cell)
        case "xlsx", "":
            return None
        case "xlsx", int() if abs(cell) >= 10**15:
            return str(cell)
    return cell


def write(
    path: Path, rows: Sequence[Record], *, page: int = 100, part: int = 10, detail: bool = False, **options: bool
) -> TextChanges:
    """Write an export as an engine does, `page` rows at once and so many pages a part; return what was changed."""
    format = format_of(path)
    pages = [rows[start : start + page] for start in range(0, len(rows), page)]
    parts = [pages[start : start + part] for start in range(0, len(pages), part)]
    columns = DETAIL_COLUMNS if detail else TICKET_COLUMNS
    sink = format.sink(columns, **options)
    lines = path.with_name(f"{path.name}.part") if format.is_staged else path
    content = sink.begin()
    for pages in parts:
        content += b"".join([sink.encode(page) for page in pages]) + sink.end_part()
    lines.write_bytes(content)
    if not format.is_staged:
        return sink.changes
    told = [0]
    changes = format.convert(lines, path, told.append, columns)
    assert told[-1] == len(rows)
    return sink.changes + changes


def read_back(path: Path) -> list[dict[str, Any]]:
    """Read what was written by somebody else's software, in the order of the rows."""
    kind, _, compression = format_of(path).name.partition(".")
    if kind == "parquet":
        table = import_module("pyarrow.parquet").read_table(path)
        return list(table.to_pylist())
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute("SELECT * FROM tickets ORDER BY id")]
    if kind == "xlsx":
        return _workbook(path)
    content = decompressed(path.read_bytes(), compression)
    if kind == "jsonl":
        return [orjson.loads(line) for line in content.split(b"\n")[:-1]]
    csv.field_size_limit(1 << 24)
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def decompressed(content: bytes, compression: str) -> bytes:
    """Decode all members or frames."""
    if compression == "zst":
        name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        return bytes(import_module(name).decompress(content))
    return gzip.decompress(content) if compression == "gz" else content


def _workbook(path: Path) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = import_module("openpyxl").load_workbook(path, read_only=True)
        unescape = import_module("openpyxl.utils.escape").unescape
        found = []
        for sheet in book.worksheets:
            names, *rows = sheet.iter_rows()
            for row in rows:
                assert {cell.data_type for cell in row} <= {"s", "n", "b", "inlineStr"}
                values = [unescape(cell.value) if isinstance(cell.value, str) else cell.value for cell in row]
                found.append(dict(zip([cell.value for cell in names], values, strict=False)))
        book.close()
    return found
