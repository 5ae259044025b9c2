"""cli: how every command ends, whatever happens: one sentence, an exit code, never a traceback."""

import asyncio
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from importlib import metadata
from pathlib import Path

import orjson
import pytest

from tests.support.cli_runs import (
    SECRET,
    Ran,
    Workorder,
    checked,
    child_environment,
    elsewhere,
    in_child,
    python_c,
    runner,
    start,
)
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after
from workorder_async.cli import failures
from workorder_async.client import WorkorderClient
from workorder_async.errors import ApiError, AuthenticationError, NotFoundError, RateLimitedError
from workorder_async.extras import install_line
from workorder_async.sandbox import Sandbox
from workorder_async.wire.session import SignedSession

TICKETS = 1500

COMMANDS = [
    "demo",
    "sandbox",
    "list",
    "show",
    "create",
    "comment",
    "reject",
    "close",
    "upload",
    "export",
    "columns",
    "doctor",
    "completion",
    "help",
]
OF_A_MIRROR = ["mirror", "changes", "search", "report"]
FOUR = {
    "WORKORDER_BASE_URL": "http://127.0.0.1:1",
    "WORKORDER_APP_ID": "sandbox-app",
    "WORKORDER_APP_SECRET": SECRET,
    "WORKORDER_SIGN_SCHEME": "md5:{app_id}{timestamp}{secret}",
}


@pytest.fixture
def workorder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Workorder:
    """Run command lines in this process, against the sandbox."""
    return runner(sandbox.environment, monkeypatch, capfd)


@pytest.mark.parametrize("absent", slow_after(1, ["cyclopts", "rich"]))
def test_without_the_extra_it_says_how_to_install_it(absent: str) -> None:
    """Where a package of the extra is not installed, one sentence names the extra, and nothing else happens."""
    code = f"import sys; sys.modules[{absent!r}] = None; from workorder_async.__main__ import main; main()"
    child = python_c(code)
    assert child.code == 2
    assert child.out == ""
    assert child.err == f"workorder: the command line is an extra; install it with: {install_line('cli')}\n"


_INTERRUPTED_IMPORT = """
import signal, sys
class Interrupting:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            {interrupt}
sys.meta_path.insert(0, Finder())
sys.argv = ["workorder", "list"]
signal.signal(signal.SIGINT, signal.default_int_handler)
from workorder_async.__main__ import main
main()
"""


@pytest.mark.parametrize("interrupt", ["signal.raise_signal(signal.SIGINT)", "Interrupting()"])
@pytest.mark.parametrize(
    "module",
    slow_after(
        1,
        [
            "cyclopts",
            "attrs",
            "workorder_async.cli.app",
            "workorder_async.document.codec",
            "workorder_async.client",
            "aiohttp",
        ],
    ),
)
def test_ctrl_c_while_it_starts_ends_it_quietly(module: str, interrupt: str) -> None:
    """Ctrl-C during any of the imports exits with 130, even where Python would swallow the exception."""
    child = python_c(_INTERRUPTED_IMPORT.format(module=module, interrupt=interrupt), FOUR)
    assert (child.code, child.out) == (130, "")
    assert child.err in ("", "workorder: interrupted\n")


def test_little_is_imported_before_ctrl_c_is_minded() -> None:
    """Before `main` is entered, nothing is imported but the package's name and what minds Ctrl-C."""
    code = """
import importlib, signal, sys
before = {*sys.modules}
import workorder_async.__main__
print(*sorted({*sys.modules} - before))
"""
    assert python_c(code).out.split() == ["workorder_async", "workorder_async.__main__"]


@pytest.mark.slow
def test_ctrl_c_after_the_end_is_nothing() -> None:
    """Ctrl-C while the interpreter shuts down changes neither what is printed nor the exit code."""
    code = """
import atexit, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
atexit.register(signal.raise_signal, signal.SIGINT)
sys.argv = ["workorder", "--version"]
from workorder_async.__main__ import main
main()
"""
    child = python_c(code)
    assert (child.code, child.err) == (0, "")


@pytest.mark.slow
def test_another_failure_that_cannot_be_raised_is_still_told() -> None:
    """Python's own report of an exception that nobody can catch stays, for those that are no Ctrl-C."""
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Failing:
    def __del__(self):
        1 / 0
sys.argv = ["workorder", "--version"]
from workorder_async.__main__ import main
try:
    main()
finally:
    Failing()
"""
    assert "ZeroDivisionError" in python_c(code).err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals there are others")
def test_ctrl_c_at_any_moment_shows_no_traceback(sandbox: Sandbox) -> None:
    """From the moment on that Ctrl-C is minded, it ends a command quietly, whenever it comes."""
    code = """
import os, signal, sys
sys.argv = ["workorder", "list"]
signal.signal(signal.SIGINT, signal.default_int_handler)
minded = signal.signal
def watched(number, handler):
    before = minded(number, handler)
    os.write(1, b".") if getattr(handler, "__name__", "") == "_quit" else None
    return before
signal.signal = watched
from workorder_async.__main__ import main
main()
"""
    for moment in range(0, 300, 40):
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(sandbox.environment),
        ) as child:
            assert child.stdout is not None
            assert child.stdout.read(1) == b"."
            time.sleep(moment / 1000)  # the moment is what is tried, not waited for
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=30)
        assert (child.returncode, b"Traceback" in err) in ((130, False), (0, False)), err


@pytest.mark.slow
def test_help_costs_no_network_library() -> None:
    """Help comes without loading aiohttp, and tells the exit codes and every command."""
    code = "import sys; from workorder_async.cli.app import run; run(['--help']); print('aiohttp' in sys.modules)"
    child = python_c(code)
    *page, loaded = child.out.splitlines()
    assert (loaded, child.err) == ("False", "")
    for word in (*COMMANDS, "sign", "Exit codes:", "130: interrupted", "WORKORDER_APP_SECRET"):
        assert any(word in line for line in page), word


@pytest.mark.parametrize(
    ("words", "names"),
    [
        *(
            (words, [*COMMANDS, *OF_A_MIRROR, "login", "trust", "sign", "journal"])
            for words in (["--help"], [], ["help"])
        ),
        *((words, ["show", "settle", "report"]) for words in (["journal"], ["journal", "--help"])),
        (["sign", "-h"], ["detect"]),
    ],
)
def test_help_says_what_each_command_is_for(workorder: Workorder, words: list[str], names: list[str]) -> None:
    """Beside the name of each command stands what it does."""
    listed = workorder(*words).out.rpartition("─ Commands ")[2]
    rows = dict(re.findall(r"^│ ([a-z]+)( .*)│$", listed, re.MULTILINE))
    assert sorted(rows) == sorted(names)
    assert all(what.strip() for what in rows.values())


@pytest.mark.parametrize("words", slow_after(2, [*([name] for name in COMMANDS), ["sign", "detect"]]))
def test_every_command_has_help(workorder: Workorder, words: list[str]) -> None:
    """`workorder COMMAND --help` tells its usage and takes no secret as an option."""
    ran = workorder(*words, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: workorder {' '.join(words)}")
    assert "--secret" not in ran.out
    assert "--app-secret" not in ran.out


@pytest.mark.parametrize("words", [[], ["list"], ["help"], ["journal"], ["journal", "show"], ["sign", "detect"]])
def test_the_version_is_that_of_the_package(workorder: Workorder, words: list[str]) -> None:
    """`--version` prints the installed version, also after a command."""
    assert workorder(*words, "--version").out == f"{metadata.version('workorder-async')}\n"


@pytest.mark.parametrize("words", slow_after(1, [["--help"], []]))
def test_python_m_runs_it(words: list[str]) -> None:
    """`python -m workorder_async` is the command, and shows its help where nothing is said."""
    ran = in_child({}, *words, anew=True)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Usage: workorder COMMAND")


def test_missing_variables_are_named_with_a_way_out(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without configuration the variables are named, and what prints four to try."""
    monkeypatch.setenv("WORKORDER_APP_SECRET", " ")
    secret = workorder("list")
    monkeypatch.delenv("WORKORDER_APP_ID")
    both = workorder("list")
    assert (secret.code, both.code) == (2, 2)
    assert secret.err.startswith("workorder: not set: WORKORDER_APP_SECRET; on a terminal it is asked for; ")
    assert both.err.startswith(
        "workorder: not set: WORKORDER_APP_ID, WORKORDER_APP_SECRET; `workorder doctor` explains"
    )
    assert "`workorder sandbox` prints all four" in both.err


def test_options_go_before_the_environment(
    workorder: Workorder, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """URL, AppId and scheme may be given as options."""
    environment = sandbox.environment
    for name in ("WORKORDER_BASE_URL", "WORKORDER_APP_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("WORKORDER_SIGN_SCHEME", "md5:{secret}")
    options = ["--base-url", environment["WORKORDER_BASE_URL"], "--app-id", environment["WORKORDER_APP_ID"]]
    assert workorder("list", *options).code == 1
    assert workorder("list", *options, "--scheme", environment["WORKORDER_SIGN_SCHEME"]).code == 0


def test_a_refusal_is_told_with_its_request_id_and_a_hint(workorder: Workorder) -> None:
    """What the platform refuses exits with 1, its words, its request_id and what to try."""
    ran = workorder("show", 7)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("workorder: get_ticket_detail: errno 90005 沙箱: 工单 7 不存在 (request_id ")
    assert "hint: " in ran.err


@pytest.mark.slow
def test_an_unreachable_host_is_told(workorder: Workorder) -> None:
    """A refused connection exits with 1 and points to the doctor."""
    ran = workorder("comment", 7, "--detail", "x", "--base-url", "http://127.0.0.1:1")
    assert ran.code == 1
    assert "could not send to http://127.0.0.1:1" in ran.err
    assert "`workorder doctor`" in ran.err


def test_a_defect_is_told_without_a_traceback(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else goes wrong ends in a sentence that asks for a report, with the exit code 1."""

    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(WorkorderClient, "from_env", fail)
    ran = workorder("list")
    assert ran.code == 1
    assert ran.err.startswith("workorder: a defect of this program, please report it")
    assert "ZeroDivisionError('by nothing')" in ran.err


@pytest.mark.slow
def test_a_proxys_page_is_told(workorder: Workorder) -> None:
    """An answer that is not the platform's exits with 1 and says what it looks like."""
    with elsewhere(serving(http("<html>login</html>"))) as wire:
        ran = workorder("list", "--base-url", wire.url)
    assert ran.code == 1
    assert "an HTML page, as a proxy or gateway sends" in ran.err


GATEWAYS = [
    (AuthenticationError("HTTP 401 with text instead of the platform's answer", status=401), "`workorder doctor`"),
    (RateLimitedError("HTTP 429 with text instead of the platform's answer", status=429), "wait, or ask for less"),
]


@pytest.mark.parametrize(("error", "advice"), GATEWAYS)
def test_a_gateways_refusal_has_no_errno(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, error: ApiError, advice: str
) -> None:
    """A refusal without the platform's envelope is told by its status and a hint, with no errno."""

    async def refuse(self: object, *arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(WorkorderClient, "change", refuse)
    monkeypatch.setattr(SignedSession, "call", refuse)
    one, row = workorder("show", 7), workorder("comment", 7, "--detail", "x", "--json").rows[0]
    listed, asked = workorder("list"), workorder("comment", 7, "--detail", "x")
    for ran in (one, listed, asked):
        assert (ran.code, ran.out) == (1, "")
        assert f"HTTP {error.status}" in ran.err
        assert advice in ran.err
        assert "errno" not in ran.err
        assert "`rate`" not in ran.err
    assert row["error"] == type(error).__name__
    assert "errno" not in row
    answer = next(check for check in workorder("doctor", "--json").rows if check["name"] == "answer")
    assert answer["ok"] is (error.status == 401)
    assert "errno" not in answer["found"]


@pytest.mark.slow
@pytest.mark.parametrize("filters", ["error", "ignore", "default"])
def test_a_warning_is_one_remark(sandbox: Sandbox, filters: str) -> None:
    """What the library warns of is one line on stderr, without a path and a line; it ends nothing, and is shown."""
    code = """
import sys, warnings
from workorder_async.client import WorkorderClient
from workorder_async.errors import ApiError, AuthenticationError, RateLimitedError
make = WorkorderClient.from_env
def warned(environ, **options):
    for _ in range(2):
        warnings.warn("plain HTTP to platform.example: anyone between can read it", RuntimeWarning, stacklevel=2)
    return make(environ, **options)
WorkorderClient.from_env = warned
sys.argv = ["workorder", "list", "--limit", "1"]
from workorder_async.__main__ import main
main()
"""
    child = python_c(code, {**sandbox.environment, "PYTHONWARNINGS": filters})
    assert (child.code, child.out.count("\n")) == (0, 2)
    remark = "workorder: plain HTTP to platform.example: anyone between can read it\n"
    assert child.err == f"{remark}1 of 1,500 tickets; --limit 0 shows all\n"


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def test_an_unknown_outcome_has_its_own_code(workorder: Workorder) -> None:
    """A change that was sent and not answered exits with 3 and says to look before repeating it."""
    with elsewhere(serving(_hang_up)) as wire:
        ran = workorder("comment", 7, "--detail", "x", "--base-url", wire.url, "--timeout", 1)
        assert [b"/comment_ticket" in request for request in wire.requests].count(True) == 1
    assert ran.code == 3
    assert "may or may not have happened" in ran.err
    assert "before you do it again" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_an_interrupted_command_says_so(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """Ctrl-C exits with 130, SIGTERM and the end of a terminal with 143, and they leave no half file behind."""
    asked = threading.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    with elsewhere(serving(never)) as wire:
        child = start({**FOUR, "WORKORDER_BASE_URL": wire.url}, "export", "--output", tmp_path / "tickets.jsonl")
        assert asked.wait(30)
        assert list(tmp_path.iterdir()) != []
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (code, b"", b"workorder: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [["list", "--limit", "0"], ["list", "--limit", "0", "--json"]])
def test_a_reader_that_goes_away_ends_it_quietly(sandbox: Sandbox, words: list[str]) -> None:
    """`workorder list | head -1` prints one line and no complaint."""
    # More than a pipe holds is to be printed.
    with start(sandbox.environment, *words) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(1) in b"{i"
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


@pytest.mark.slow
@pytest.mark.parametrize("words", [["list"], ["--help"]])
def test_a_reader_that_never_was_is_no_trouble(sandbox: Sandbox, words: list[str]) -> None:
    """Where nobody reads from the beginning, little output ends as quietly as much."""
    reader, writer = os.pipe()
    os.close(reader)
    with start(sandbox.environment, *words, stdout=writer) as child:
        os.close(writer)
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert child.returncode == 141


def _in_pipe(reader: int) -> int:
    """Return how many bytes a pipe holds."""
    return int.from_bytes(fcntl.ioctl(reader, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.slow
def test_a_stream_that_does_not_block_is_waited_for(sandbox: Sandbox) -> None:
    """What comes late is read, and what is taken slowly is written, all of it."""
    (stdin, late), (slow, stdout) = os.pipe(), os.pipe()
    os.set_blocking(stdin, False)
    os.set_blocking(stdout, False)
    os.write(late, b"1\n")
    words = ["comment", "--from", "-", "--detail", "x" * 100_000, "--dry-run", "--json"]
    with open(stdout, "wb") as out, start(sandbox.environment, *words, stdin=stdin, stdout=out) as child:
        while _in_pipe(stdin) and child.poll() is None:
            os.sched_yield()
        with open(late, "wb") as numbers:
            numbers.write(b"2\n")
        out.close()
        while _in_pipe(slow) < 1 << 16 and child.poll() is None:
            os.sched_yield()
        with open(slow, "rb") as shown:
            rows = [orjson.loads(line) for line in shown]
    os.close(stdin)
    assert ([row["request"]["id"] for row in rows], child.returncode) == ([1, 2], 0)


@pytest.mark.slow
def test_a_disk_that_takes_a_part_is_told(tmp_path: Path) -> None:
    """Also where Python buffers nothing, as in many containers: the rest was lost, and all seemed well."""
    command = f"ulimit -f 1; exec {sys.executable} -m workorder_async completion fish > part"
    environment = child_environment({"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    ran = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, check=False, timeout=60
    )
    # Whatever measures this test may not be able to write its own file either.
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (1, b"workorder: File too large: stdout")
    assert 0 < (tmp_path / "part").stat().st_size < 2000


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device that is always full is Linux's")
@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["export", "-"], ["help"]])
def test_a_full_disk_is_told(sandbox: Sandbox, words: list[str]) -> None:
    """An output that cannot be written exits with 1 and the system's reason."""
    with Path("/dev/full").open("wb") as full:
        ran = in_child(sandbox.environment, *words, stdout=full)
    assert ran.code == 1
    assert "No space left on device" in ran.err
    assert "stdout" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device that is always full is Linux's")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["comment", "7", "--detail", "x", "--base-url", "URL", "--timeout", "1"], 3),
        (["comment", "7", "--detail", "x", "--base-url", "URL", "--timeout", "1", "--json", "--verbose"], 3),
        (["list", "--limit", "1", "--verbose"], 0),
        (["list", "--nope"], 2),
        (["show", "7"], 1),
    ],
)
def test_a_remark_that_is_lost_changes_no_exit_code(sandbox: Sandbox, words: list[str], code: int) -> None:
    """Where the disk of stderr is full, the exit code and stdout are what they are anyway."""
    with elsewhere(serving(_hang_up)) as wire, Path("/dev/full").open("wb") as full:
        words = [wire.url if word == "URL" else word for word in words]
        with start(sandbox.environment, *words, stderr=full) as child:
            out, _ = child.communicate(timeout=20)
    assert (child.returncode, out != b"") == (code, code == 0 or "--json" in words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("closed", "words", "code"),
    [
        (">&-", ["export", "--output", "FILE"], 0),
        (">&-", ["export", "-"], 2),
        ("<&- >&- 2>&-", ["export", "-", "--format", "csv"], 2),
        (">&-", ["report", "EXPORTED", "--html", "-"], 1),
        ("2>&-", ["show", "abc"], 2),
        ("<&-", ["comment", "6000", "--detail", "-"], 2),
        ("<&- >&- 2>&-", ["doctor"], 0),
    ],
)
def test_a_stream_that_is_closed_leads_nowhere(
    sandbox: Sandbox, tmp_path: Path, closed: str, words: list[str], code: int
) -> None:
    """Whoever starts it without stdin, stdout or stderr, as daemons do, gets the same exit code, and no file harmed."""
    file = tmp_path / "tickets.jsonl"
    exported = tmp_path / "exported.jsonl"
    exported.write_text('{"id": 1, "status": 1, "created_time": 1700000000, "type": 1, "title": "", "closed_time": 0}')
    places = {"FILE": str(file), "EXPORTED": str(exported)}
    words = [places.get(word, word) for word in words]
    child = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-m", "workorder_async", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env=child_environment(sandbox.environment),
    )
    ran = checked(Ran(child.returncode, child.stdout, child.stderr))
    assert (ran.code, "defect" in ran.err) == (code, False), ran.err
    assert str(file) not in words or len(file.read_bytes().splitlines()) == 1500


@pytest.mark.slow
def test_verbose_logs_every_attempt(sandbox: Sandbox) -> None:
    """`--verbose` shows the log on stderr, without the secret, a signature or a ticket's text."""
    ran = in_child(sandbox.environment, "list", "--limit", 1, "--verbose")
    _, ticket = ran.out.splitlines()
    assert ran.code == 0
    assert "list_tickets: attempt 1, 200 ok" in ran.err
    assert ticket.split("\t")[4] not in ran.err


def _hostile(text: str) -> bytes:
    """Return an answer whose texts are this one, for any endpoint."""
    summary = {"id": 7, "title": text, "customer_organization_name": text, "handler": 1, "status": text}
    detail = {
        **summary,
        "detail": f"{text}\nstatus  forged",
        "assigns": [{"product_group_name": text, "history": [{"detail": text, "creator_name": text}]}],
        "attachment": [{"file_name": text}],
        "tags": [{"name": text, "id": 1}],
        "form_values": {text: text, "n": 3},
        "created_time": 253402300799,
    }
    body = {"errno": 10000, "data": {**detail, "tickets": [summary], "pagination": {"page_size": 1, "total": 1}}}
    return orjson.dumps(body).replace(b"SURROGATE", rb"\ud800")


HOSTILE = "\x1b[31mred\x1b[0m [bold]markup[/] :smile: \x9b31m \x00 \u202egnp.exe SURROGATE"
HARMLESS = r"\x1b[31mred\x1b[0m [bold]markup[/] :smile: \x9b31m \x00 \u202egnp.exe \ud800"


@pytest.mark.parametrize("words", [["list"], ["show", "7"]])
def test_text_of_tickets_is_shown_and_never_obeyed(workorder: Workorder, words: list[str]) -> None:
    """Controls, surrogates and markup in a ticket come out as visible text."""
    with elsewhere(serving(http(_hostile(HOSTILE)))) as wire:
        ran = workorder(*words, "--base-url", wire.url)
    assert ran.code == 0
    assert HARMLESS in ran.out
    assert "\nstatus  forged" not in ran.out
    assert not any(character in ran.out for character in "\x1b\x9b\x00\u202e")


@pytest.mark.parametrize("text", slow_after(1, [HOSTILE, HOSTILE.replace("SURROGATE", "工单")]))
@pytest.mark.parametrize("words", [["list", "--json"], ["show", "7", "--json"], ["export", "--output", "-", "--raw"]])
def test_json_escapes_what_a_terminal_would_obey(workorder: Workorder, words: list[str], text: str) -> None:
    """JSON on stdout holds the text unchanged, and no byte that a terminal would obey."""
    with elsewhere(serving(http(_hostile(text)))) as wire:
        ran = workorder(*words, "--base-url", wire.url)
    assert ran.code == 0
    assert not any(character in ran.out for character in "\x1b\x9b\x00\u202e")
    assert json.loads(ran.out)["title"] == text.replace("SURROGATE", "\ud800")


def test_words_of_the_platform_are_not_obeyed_either(workorder: Workorder) -> None:
    """Controls in an errmsg come out as visible text, on one line."""
    body = orjson.dumps({"errno": 500, "errmsg": "\x1b]0;title\x07\nsecond line", "request_id": "r-1"})
    with elsewhere(serving(http(body))) as wire:
        ran = workorder("list", "--base-url", wire.url)
    assert ran.err.startswith(
        "workorder: list_tickets: errno 500 \\x1b]0;title\\x07 second line (request_id r-1); hint:"
    )


@pytest.mark.slow
def test_a_terminal_of_another_encoding_gets_escapes(sandbox: Sandbox) -> None:
    """Where stdout cannot hold Chinese, it is escaped in tables and stays UTF-8 in JSON."""
    latin = {**sandbox.environment, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    table, lines = in_child(latin, "list", "--limit", 1), in_child(latin, "list", "--limit", 1, "--json")
    assert (table.code, lines.code) == (0, 0)
    assert "\\u" in table.out
    assert lines.rows[0]["title"].encode("unicode_escape").decode() in table.out


def test_checked_finds_a_leak() -> None:
    """The look for secrets and tracebacks, which every other test relies on, finds them."""
    for text in (SECRET, "Traceback", "\x1b[0m"):
        with pytest.raises(AssertionError):
            checked(Ran(0, "", text))


@pytest.mark.parametrize("words", slow_after(2, [["sign", "detect"], [], *([name] for name in COMMANDS)]))
def test_help_is_a_command_too(workorder: Workorder, words: list[str]) -> None:
    """`workorder help COMMAND` prints what `workorder COMMAND --help` prints."""
    assert workorder("help", *words) == workorder(*words, "--help")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="needs a bash")
def test_bash_completes(workorder: Workorder, tmp_path: Path) -> None:
    """The script of `workorder completion bash` makes a real bash offer what there is.

    A file is offered wherever one may stand, also one within a folder, and one with a blank.
    """
    script = workorder("completion", "bash").out
    offered = {"workorder sign d": "detect", "workorder cl": "close", "workorder export --no-csv": "--no-csv-bom"}
    asked = (
        f"COMP_WORDS=({typed}); COMP_CWORD={len(typed.split()) - 1}; _workorder; echo ${{COMPREPLY[@]}}"
        for typed in offered
    )
    command = ["bash", "-c", "\n".join([script, *asked])]
    child = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    for word, line in zip(offered.values(), child.stdout.splitlines(), strict=True):
        assert word in line.split()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a list.txt").touch()
    (tmp_path / "rc").write_text(f"{script}\nworkorder() {{ printf '<%s>' \"$@\"; }}\n")
    lines = [f"workorder {words} mi\ta\t" for words in ("close --from", "upload", "export", "report --html")]
    child = subprocess.run(
        ["bash", "--noprofile", "--rcfile", "rc", "-i"],
        input="\n".join([*lines, "exit\n"]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        start_new_session=True,
    )
    assert child.stdout.count("<mine/a list.txt>") == len(lines), child


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_as_well(workorder: Workorder, shell: str) -> None:
    """It names every command, and the shell reads it without complaint where it is there."""
    script = workorder("completion", shell).out
    assert all(name in script for name in COMMANDS)
    # Where a value has no kind, zsh would offer nothing.
    assert shell != "zsh" or re.search(r"'\*--from\[.*\]:from:_files' ", script)
    assert shell != "zsh" or script.endswith('\n_cyclopts_workorder "$@"\n')
    if path := shutil.which(shell):
        child = subprocess.run([path, "-n"], input=script, capture_output=True, text=True, check=False, timeout=20)
        assert (child.returncode, child.stderr) == (0, "")


TOLD = [
    (ApiError("no", operation="get_ticket_detail", errno=500), "check the ticket's number"),
    (ApiError("no", operation="list_tickets", errno=500), "`workorder doctor` looks for the cause; if so many"),
    (NotFoundError("no", operation="get_ticket_detail", errno=500), "check the ticket's id"),
    (AuthenticationError("no", operation="get_ticket_detail", errno=500), "`workorder doctor`"),
]


@pytest.mark.parametrize(("error", "advice"), TOLD)
def test_a_hint_is_at_the_cause(error: ApiError, advice: str) -> None:
    """What the platform refuses of one ticket is no case for the doctor; what it refuses of everything is."""
    assert advice in failures.sentence(error)
    assert ("doctor" in failures.sentence(error)) is ("doctor" in advice)


@pytest.mark.parametrize("width", slow_after(2, ["0", "wide", "1", "2"]))
@pytest.mark.parametrize("words", slow_after(1, [["--help"], ["close", "-h"]]))
def test_help_ends_at_any_width(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, width: str, words: list[str]
) -> None:
    """However narrow a terminal says that it is, its help is printed."""
    monkeypatch.setenv("COLUMNS", width)
    ran = workorder(*words)
    assert (ran.code, ran.err) == (0, "")
    assert "Usage" in ran.out
