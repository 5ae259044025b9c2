"""The command `python -m benchmarks`: measure the rows, print the table, write JSON.

A goal that is missed is reported and is no error; the exit code is 1 where a row could not be measured.
"""

import sys
import traceback
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson

from benchmarks import (
    batching,
    counting,
    decoding,
    engines,
    exporting,
    importing,
    long,
    memory,
    mirroring,
    report,
    waiting,
    walking,
)
from benchmarks.measuring import Plan, Row, RowLeftOutError

#: Every row, in the order of the table.
ROWS: Mapping[str, Callable[[Plan], Row]] = {
    "decode": decoding.measure,
    "walk": walking.measure_walk,
    "fair": walking.measure_fair,
    "calls": counting.measure_calls,
    "instructions": counting.measure_instructions,
    "pipeline": waiting.measure_pipeline,
    "jitter": waiting.measure_jitter,
    "tenth": waiting.measure_tenth,
    "first": walking.measure_first,
    "import": importing.measure,
    "requests": long.measure_requests,
    "mirror": mirroring.measure,
    "million": memory.measure,
    "long": long.measure,
    "batch": batching.measure,
    "jsonl": exporting.measure_jsonl,
    "csv": exporting.measure_csv,
    "parquet": exporting.measure_parquet,
    "xlsx": exporting.measure_xlsx,
    "export": exporting.measure_export,
    "resume": exporting.measure_resume,
    "engines": engines.measure,
}
#: Those that take minutes, and a gigabyte or more of memory, or a JVM: left out unless asked for.
HEAVY = frozenset({"instructions", "million", "long", "engines"})


def main(argv: Sequence[str], rows: Mapping[str, Callable[[Plan], Row]] = ROWS) -> int:
    """Measure the rows that were asked for; returns the exit code."""
    arguments = _arguments(argv, rows)
    left_out = [] if arguments.heavy or arguments.only else [name for name in rows if name in HEAVY]
    facts = report.environment()
    print(report.header(facts), flush=True)
    measured: list[Row] = []
    failed: dict[str, report.JSON] = {}
    for name in arguments.only or [name for name in rows if name not in left_out]:
        try:
            row = rows[name](Plan(arguments.rounds, arguments.tickets))
        except RowLeftOutError as error:
            print(f"{name:9} left out: {error}", flush=True)
        except Exception as error:  # noqa: BLE001 - the other rows are worth measuring all the same
            failed[name] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
            print(f"{name:9} could not be measured: {failed[name]}", flush=True)
        else:
            measured.append(row)
            print(report.line(row), flush=True)
    if left_out:
        names = " ".join(left_out)
        print(f"left out, since they take minutes and a gigabyte: {names}; run them by --heavy or --only {names}")
    print()
    for row in measured:
        print(*report.details(row), sep="\n")
    if arguments.json is not None:
        content = {"environment": facts, "rows": [report.to_json(row) for row in measured], "failed": failed}
        arguments.json.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return 1 if failed else 0


def _arguments(argv: Sequence[str], rows: Mapping[str, Callable[[Plan], Row]]) -> Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks", description="Measure the library against floors of the same run."
    )
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", nargs="+", choices=list(rows), metavar="NAME", help=f"of: {', '.join(rows)}")
    parser.add_argument("--heavy", action="store_true", help=f"measure the heavy rows too: {', '.join(sorted(HEAVY))}")
    parser.add_argument(
        "--rounds", type=_count, default=15, metavar="N", help="rounds per set, 15; at least 9 to judge by"
    )
    parser.add_argument(
        "--tickets",
        type=_count,
        default=10_000,
        metavar="N",
        help="tickets in the list, 10000; heavy rows have a hundred times as many",
    )
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _new_file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise ArgumentTypeError(f"{text!r} is no place for a file")
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
