"""The pytest plugin in other people's projects: with pytest alone, pytest-asyncio and anyio, and what it imports."""

import subprocess
import sys
from pathlib import Path

import coverage
import pytest

import workorder_async
from tests.support.cli_runs import python_c
from tests.support.projects import ANYIO, ASYNCIO, ROOT, Ending, run_project

KIT = "pytest_workorder"
PLAIN = """
    import asyncio, os, threading
    from workorder_async import CommentTicket, WorkorderClient
    from workorder_async.testing import assert_applied

    COMMENT = CommentTicket(id=1001, detail="收到")

    def test_a_loop_of_its_own(workorder_client, workorder_sandbox):
        assert asyncio.run(workorder_client.comment_ticket(COMMENT)) is None
        assert_applied(workorder_sandbox, [COMMENT])

    def test_the_environment(workorder_env, workorder_sandbox):
        assert workorder_env == workorder_sandbox.environment

        async def main():
            async with WorkorderClient.from_env() as client:
                return (await client.list_tickets()).pagination.total

        assert asyncio.run(main()) == 100
        assert workorder_sandbox.requests == {"list_tickets": 1}

    def test_it_is_clean_for_each_test(workorder_sandbox):
        assert workorder_sandbox.applied == []
        assert workorder_sandbox.requests == {}
        assert "WORKORDER_BASE_URL" not in os.environ
        assert len([one for one in threading.enumerate() if one.name == "workorder sandbox"]) == 1

    def test_a_client_that_is_not_used(workorder_client):
        pass

    def test_a_loop_that_goes_on_in_a_thread(workorder_client):
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        assert asyncio.run_coroutine_threadsafe(workorder_client.ping(), loop).result()
"""
ASYNC = """
    import asyncio, pytest, PACKAGE
    from workorder_async import CommentTicket
    from workorder_async.testing import assert_applied

    COMMENT = CommentTicket(id=1001, detail="收到")
    MODE

    @pytest.fixture
    def before(workorder_client):
        return workorder_client

    @ASYNC_FIXTURE
    async def bot(workorder_client):
        await workorder_client.list_tickets()
        yield workorder_client
        await workorder_client.list_tickets()

    async def test_the_client(workorder_client, workorder_sandbox):
        await workorder_client.comment_ticket(COMMENT)
        assert_applied(workorder_sandbox, [COMMENT])

    async def test_a_fixture_that_uses_it_at_its_end(bot, workorder_sandbox):
        await bot.comment_ticket(COMMENT)
        assert_applied(workorder_sandbox, [COMMENT])

    class TestIt:
        async def test_in_a_class(self, before, workorder_sandbox):
            async for _ in before.iter_tickets():
                break
            assert workorder_sandbox.change(close=1).closed
            assert workorder_sandbox.applied == []

    async def test_closed_by_the_test(workorder_client):
        async with workorder_client as client:
            await client.ping()

    @pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
    async def test_that_fails(workorder_client):
        await workorder_client.ping()
        1 / 0

    async def test_that_leaves_a_call(workorder_client, workorder_sandbox):
        await workorder_client.ping()
        left.append(asyncio.ensure_future(workorder_client.ping()))

    left = []
"""
MODES = {
    "strict": (ASYNCIO, "asyncio_mode = strict", "pytestmark = pytest.mark.asyncio", "pytest_asyncio.fixture"),
    "one loop": (
        ASYNCIO,
        "asyncio_mode = auto\nasyncio_default_test_loop_scope = session\nasyncio_default_fixture_loop_scope = session",
        "",
        "pytest.fixture",
    ),
    "anyio": (
        ANYIO,
        "",
        "pytestmark = pytest.mark.anyio\n    anyio_backend = pytest.fixture(lambda: 'asyncio')",
        "pytest.fixture",
    ),
    "anyio, one loop": (
        ANYIO,
        "",
        "pytestmark = pytest.mark.anyio\n    anyio_backend = pytest.fixture(scope='session')(lambda: 'asyncio')\n"
        "    @pytest.fixture(scope='session', autouse=True)\n    async def kept(anyio_backend): yield",
        "pytest.fixture",
    ),
}


def in_mode(mode: str, folder: Path, *words: str, path: str = ROOT, autoload: bool = False) -> Ending:
    """Run the async tests with the plugin of a mode, and with all that are installed where that is wanted."""
    plugin, ini, begin, fixture = MODES[mode]
    if "scope" not in ini and (autoload or plugin == ASYNCIO):
        ini += "\nasyncio_default_fixture_loop_scope = function"
    source = ASYNC.replace("MODE", begin).replace("ASYNC_FIXTURE", fixture).replace("PACKAGE", plugin.split(".")[0])
    env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""} if autoload else {}
    return run_project(folder, source, *words, plugins=[] if autoload else [KIT, plugin], ini=ini, path=path, **env)


@pytest.mark.slow
def test_plain_tests(tmp_path: Path) -> None:
    """With pytest alone: a client for `asyncio.run`, the environment, and a new sandbox for each test."""
    ran = run_project(tmp_path, PLAIN, plugins=[KIT])
    assert ran.counts() == {"passed": 5}, ran.out


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_tests_with_an_event_loop(mode: str, tmp_path: Path) -> None:
    """With each plugin for async tests the client works, also in fixtures that end later, and leaves no warning."""
    ran = in_mode(mode, tmp_path)
    assert ran.counts() == {"passed": 5, "xfailed": 1}, ran.out


@pytest.mark.slow
def test_a_backend_that_is_not_asyncio(tmp_path: Path) -> None:
    """A test that anyio runs for trio, too, is skipped there, with the reason."""
    tests = """
        import pytest

        @pytest.mark.parametrize("anyio_backend", ["trio", ("trio", {}), "asyncio", ("asyncio", {"debug": True})])
        def test_it(anyio_backend, workorder_client): pass
    """
    ran = run_project(tmp_path, tests, "-rs", plugins=[KIT, ANYIO])
    assert ran.counts() == {"passed": 2, "skipped": 2}, ran.out
    assert "workorder_client is for asyncio; let the fixture anyio_backend return 'asyncio'" in ran.out


@pytest.mark.slow
def test_what_is_nearer_goes_before(tmp_path: Path) -> None:
    """A row goes before its function, that before its class, and that before its module; other options stay."""
    tests = """
        import pytest
        from workorder_async import TicketStatus
        from workorder_async.sandbox import Drift, Fault

        pytestmark = pytest.mark.workorder(tickets=4, faults=[Fault("503")], seed=5)

        def count(sandbox):
            return len(sandbox.change(delete=1000).deleted) + len(
                sandbox.change(delete=1000, status=TicketStatus.PROCESSING).deleted
            )

        def test_module(workorder_sandbox):
            assert [one.kind for one in workorder_sandbox.faults] == ["503"]
            assert count(workorder_sandbox) <= 4

        @pytest.mark.workorder(faults=(), drift=[Drift(close=1)])
        class TestClass:
            def test_class(self, workorder_sandbox):
                assert workorder_sandbox.faults == ()
                assert len(workorder_sandbox.drift) == 1

            @pytest.mark.workorder(drift=[], app_id="mine")
            @pytest.mark.parametrize(
                "app_id", ["mine", pytest.param("row", marks=pytest.mark.workorder(app_id="row"))]
            )
            def test_row(self, workorder_env, workorder_sandbox, app_id):
                assert workorder_sandbox.drift == workorder_sandbox.faults == ()
                assert workorder_env["WORKORDER_APP_ID"] == app_id
    """
    ran = run_project(tmp_path, tests, plugins=[KIT])
    assert ran.counts() == {"passed": 4}, ran.out


WRONG = {
    "ticket=5": "there is no option 'ticket'; did you mean tickets",
    "nonsense=5": "there is no option 'nonsense'; it has tickets, db, host",
    "5": "5 has no name; write it as an option, such as tickets=50",
    "tickets='5'": "tickets is str '5'; it must be a whole number",
    "tickets=-1": "tickets is -1; it must be from 0 to",
    "faults=['503']": "faults[0] is '503'; it must be a Fault",
    "faults=iter([])": "faults can be read only once, and each test reads it; put it in brackets",
    "rate=0": "rate is 0",
    "db='/nowhere/at/all.db'": "/nowhere/at/all.db cannot be opened",
}


@pytest.mark.slow
def test_wrong_options_are_named(tmp_path: Path) -> None:
    """What is wrong in a marker is said in one sentence that names it, without a traceback."""
    tests = "import pytest\n" + "".join(
        f"@pytest.mark.workorder({options})\ndef test_{number}(workorder_sandbox): pass\n"
        for number, options in enumerate(WRONG)
    )
    ran = run_project(tmp_path, tests, plugins=[KIT])
    assert ran.counts() == {"errors": len(WRONG)}, ran.out
    said = [line for line in ran.out.splitlines() if line.startswith("@pytest.mark.workorder: ")]
    assert len(said) == len(WRONG)
    for line, text in zip(said, WRONG.values(), strict=True):
        assert text in line


@pytest.mark.slow
def test_the_marker_is_known(tmp_path: Path) -> None:
    """`pytest --markers` explains it."""
    ran = run_project(tmp_path, "", "--markers", plugins=[KIT])
    assert "@pytest.mark.workorder(tickets=100, faults=[], drift=[], seed=1, ...): options of" in ran.out


def test_nothing_of_the_package_is_imported_before_a_fixture() -> None:
    """The plugin imports pytest and the standard library alone, so that coverage sees the package's first import."""
    new = "import pytest_workorder; print(*({name.partition('.')[0] for name in sys.modules} - before))"
    known = "before = {name.partition('.')[0] for name in sys.modules}"
    assert python_c(f"import sys, contextlib, inspect, typing, pytest; {known}; {new}").out.split() == [KIT]


SHOP = """
import workorder_async

def price(cost):
    if cost:
        return cost + 1
    return 0
"""
COVERED = """
    import json, pytest, shop, workorder_async

    def test_shop():
        assert shop.price(1) == 2
        assert workorder_async.TicketStatus(1)
"""
# What pytest-cov does: it begins once the plugins are loaded, before a conftest and the tests are.
LIKE_PYTEST_COV = """
import coverage, pytest

measured = coverage.Coverage()

@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests():
    measured.start()

def pytest_unconfigure():
    measured.stop()
    measured.save()
"""


@pytest.mark.slow
def test_coverage_is_the_same_without_the_plugin(tmp_path: Path) -> None:
    """What is covered of a project, and of the package itself, does not depend on the plugin."""
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    (tmp_path / "like_cov.py").write_text(LIKE_PYTEST_COV, "utf-8")
    (tmp_path / ".coveragerc").write_text("[run]\nbranch = true\nsource = shop, workorder_async\n", "utf-8")
    covered = []
    for kit in ([], [KIT]):
        ran = run_project(tmp_path, COVERED, plugins=[*kit, "like_cov"])
        assert ran.counts() == {"passed": 1}, ran.out
        data = coverage.CoverageData(str(tmp_path / ".coverage"))
        data.read()
        covered.append({file: sorted(data.arcs(file) or ()) for file in data.measured_files()})
    for file in (str(tmp_path / "shop.py"), workorder_async.__file__):
        assert covered[0][file]
    assert covered[0] == covered[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the wheel, and return a folder that it is installed in."""
    folder = tmp_path_factory.mktemp("wheel")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True, cwd=folder, timeout=50)
    wheel = next(folder.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", folder, wheel], check=True, cwd=folder, timeout=50)
    return str(folder)


@pytest.mark.slow
def test_from_the_wheel(installed: str, tmp_path: Path) -> None:
    """An installed package is enough: pytest finds the plugin, once, and who names it as well has it once, too.

    Beside the plugins for async tests the order of their loading is nobody's choice.
    """
    without = [word for name in ("randomly", "xdist", "timeout", "hypothesispytest") for word in ("-p", f"no:{name}")]
    ran = in_mode("strict", tmp_path, *without, path=installed, autoload=True)
    assert ran.counts() == {"passed": 5, "xfailed": 1}, ran.out
    for words, said in ((["-p", KIT], "1 passed"), (["-p", "no:workorder"], "fixture 'workorder_client' not found")):
        project = "def test_it(workorder_client): pass"
        ran = run_project(
            tmp_path, project, *without, "-p", "no:asyncio", *words, path=installed, PYTEST_DISABLE_PLUGIN_AUTOLOAD=""
        )
        assert said in ran.out
