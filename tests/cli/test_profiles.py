"""cli/profiles.py: platforms by name in a file, what goes before it, and what is refused of it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere, python_c, runner
from workorder_async.cli import profiles
from workorder_async.cli.connection import Connection
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Sandbox
from workorder_async.secret import Secret

TELLS = f"{sys.executable} -c 'print(\"{SECRET}\\nmore\")'"
Write = Callable[..., Path]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Workorder:
    """Run command lines without a variable, in a folder of their own, with a folder for configuration beside it."""
    workorder = runner({"XDG_CONFIG_HOME": str(tmp_path / "config")}, monkeypatch, capfd)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return workorder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return what writes the user's file, or the one of the folder."""

    def written(text: str, mode: int = 0o600, here: bool = False) -> Path:
        path = tmp_path / ("here" if here else "config/workorder") / "workorder.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(mode)
        return path

    return written


def of(sandbox: Sandbox, name: str = "stage", secret: str = f'secret = "{SECRET}"') -> str:
    """Return a profile of a sandbox."""
    return (
        f'[profiles.{name}]\nbase_url = "{sandbox.url}"\napp_id = "sandbox-app"\n'
        f"sign_scheme = '{sandbox.environment['WORKORDER_SIGN_SCHEME']}'\n{secret}\n"
    )


def test_by_every_way(bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile is chosen by option, by variable, or as the default, in this order; a command may tell the secret."""
    command = of(sandbox, "other", f"secret_command = '''{TELLS}'''")
    write(f'default = "stage"\n{of(sandbox)}{command}[profiles.broken]\nbase_url = "http://127.0.0.1:1"\n')
    assert bare("list").code == 0
    assert bare("list", "--profile", "other").code == 0
    monkeypatch.setenv("WORKORDER_PROFILE", "broken")
    assert bare("list").code == 2
    assert bare("list", "--profile", "stage").code == 0


def test_no_default(bare: Workorder, write: Write, sandbox: Sandbox) -> None:
    """Without a default a profile is used only where it is named."""
    write(of(sandbox))
    assert bare("list").err.startswith("workorder: not set: WORKORDER_BASE_URL")
    assert bare("list", "--profile", "stage").code == 0


def test_the_environment_wins(bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable goes before the file, an option before both; where a profile was asked for this is said."""
    write(f'default = "stage"\n{of(sandbox)}')
    monkeypatch.setenv("WORKORDER_BASE_URL", "http://127.0.0.1:1")
    assert bare("list", "--base-url", sandbox.url).code == 0
    assert Connection().environment()["WORKORDER_BASE_URL"] == "http://127.0.0.1:1"
    ran = bare("list", "--profile", "stage", "--base-url", sandbox.url)
    assert ran.err.startswith("workorder: WORKORDER_BASE_URL in the environment goes before profile 'stage'\n")


def test_a_file_that_is_not_needed(
    bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the environment has everything, no file is read."""
    write("no toml")
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    assert bare("list").code == 0


def test_this_folder_goes_first(bare: Workorder, write: Write, sandbox: Sandbox) -> None:
    """The file of this folder is read, and then the user's is not."""
    write('default = "x"\n[profiles.x]\nbase_url = "http://127.0.0.1:1"\n')
    path = write(f'default = "stage"\n{of(sandbox)}', here=True)
    assert profiles.path_in_use() == path
    assert bare("list").code == 0


def test_where_the_users_file_is(bare: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is under XDG_CONFIG_HOME, or under ~/.config where that is not set, or is no whole path."""
    assert profiles.path_in_use() == tmp_path / "config" / "workorder" / "workorder.toml"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert profiles.path_in_use() == tmp_path / "home" / ".config" / "workorder" / "workorder.toml"


WRONG = [
    ("no toml", "workorder.toml: this is no TOML: "),
    ('defualt = "a"', "has no place for 'defualt'; did you mean default?"),
    ("profiles = 1", "profiles must be tables, such as [profiles.stage]"),
    ("default = 1", "default is 1; it must be one of its profiles"),
    ('default = "b"\n[profiles.a]\n', "default is 'b'; it must be one of a"),
    ("[profiles]\na = 1", "profiles.a must be a table: [profiles.a]"),
    ("[profiles.a]\nbase-url = 'x'", "profiles.a has no key 'base-url'; did you mean base_url?"),
    ("[profiles.a]\napp_id = 1", "profiles.a.app_id is int 1; it must be text, in quotes"),
    ("[profiles.a]\nsecret = 1", "profiles.a.secret is int 1; it must be text, in quotes"),
    ("[profiles.a]\nsecret = 'x'\nsecret_command = 'x'", "has both secret and secret_command; remove one"),
    ("[profiles.a]\nsecret_command = ''", "profiles.a.secret_command is empty; write a command that prints the secret"),
    ("[profiles.a]\nsecret_command = '\"'", "profiles.a.secret_command cannot be read: No closing quotation"),
    ("[profiles.a]\nsecret_command = '/nowhere/x'", "'/nowhere/x' told no secret: No such file or directory; try it"),
    ("[profiles.a]\nsecret_command = 'false'", "'false' told no secret: it ended with 1; try it in a shell"),
    ("[profiles.a]\nsecret_command = 'true'", "'true' printed nothing on its first line; try it in a shell"),
    ("[profiles.a]\nsecret_command = 'printf \"\\377\"'", "'printf' told no secret: what it prints is not UTF-8"),
    ("[profiles.b]\n", "there is no profile 'a'; it has b, and `workorder login` adds one"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_refused(bare: Workorder, write: Write, text: str, said: str) -> None:
    """What cannot work is told in one sentence with the file, the key, and what to do."""
    path = write(text)
    ran = bare("list", "--profile", "a")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"workorder: {path}")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_no_file(bare: Workorder, tmp_path: Path) -> None:
    """A profile of a file that is not there is told with the place where it would be."""
    path = tmp_path / "config" / "workorder" / "workorder.toml"
    ran = bare("list", "--profile", "a")
    assert ran.err == f"workorder: profile 'a': there is no file {str(path)!r}; `workorder login` writes it\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o620])
@pytest.mark.parametrize("secret", ['secret = "x"', 'secret_command = "x"'])
def test_a_file_that_others_reach(bare: Workorder, write: Write, sandbox: Sandbox, mode: int, secret: str) -> None:
    """A secret or a command is taken from a file for its owner alone; without them anybody may read it."""
    path = write(of(sandbox, secret=secret), mode)
    ran = bare("list", "--profile", "stage")
    assert (ran.code, f"others may read the file, and it tells a secret; run: chmod 600 {path}" in ran.err) == (2, True)
    write(of(sandbox, secret=""), mode)
    assert bare("list", "--profile", "stage").err.startswith("workorder: not set: WORKORDER_APP_SECRET;")


def test_a_file_of_somebody_else(
    bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is run that somebody else wrote into the folder."""
    write(of(sandbox, secret="secret_command = 'touch ran'"), here=True)
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert "the file belongs to somebody else" in bare("list", "--profile", "stage").err
    assert not Path("ran").exists()


def test_a_command_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has a minute; then it is ended, and this is said."""
    monkeypatch.setattr(profiles, "_PATIENCE", 0.2)
    with pytest.raises(ConfigError, match="'sleep' told no secret: it did not end within 0 s"):
        profiles.said_by("sleep 60", "x")


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\x7f", "\x00", "\u2028", "😀", "{}[]=#'", "\ufeff", "\t "])
def test_what_is_written_is_read(write: Write, tmp_path: Path, text: str) -> None:
    """Every text comes back as it was, in a file for its owner alone; what was there stays, comments too."""
    path = tmp_path / "config" / "workorder" / "workorder.toml"
    profiles.add(path, f"a{text}", {"app_id": f"b{text}", "secret": Secret(f"c{text}")})
    profiles.add(path, "plain", {"app_id": "d"})
    assert path.stat().st_mode & 0o777 == 0o600
    default, found = profiles.read(path)
    assert (default, list(found)) == (f"a{text}", [f"a{text}", "plain"])
    secret = found[f"a{text}"]["secret"]
    assert isinstance(secret, Secret)
    assert (found[f"a{text}"]["app_id"], secret.reveal()) == (f"b{text}", f"c{text}")
    kept = write(f"# mine\n{path.read_text('utf-8')}")
    profiles.add(kept, "third", {})
    assert kept.read_text("utf-8").startswith("# mine\n")
    assert list(profiles.read(kept)[1]) == [f"a{text}", "plain", "third"]


def test_no_frame_shows_the_secret(write: Write) -> None:
    """A traceback with locals of a broken file shows no secret of it."""
    path = write('[profiles.a]\nsecret = "hush-hush"\nsecrte = "x"\n')
    code = (
        "import traceback, pathlib\nfrom workorder_async.cli import profiles\n"
        f"try: profiles.read(pathlib.Path({str(path)!r}))\n"
        "except Exception as e: print(*traceback.TracebackException.from_exception(e, capture_locals=True).format())"
    )
    ran = python_c(code)
    assert "did you mean secret" in ran.out
    assert "hush-hush" not in ran.out


def test_of_a_sandbox_with_elsewhere(bare: Workorder, write: Write) -> None:
    """Two platforms stand side by side in one file."""
    with elsewhere(Sandbox(3, app_secret=SECRET)) as first, elsewhere(Sandbox(5, app_secret=SECRET)) as second:
        write(of(first, "first") + of(second, "second"))
        assert len(bare("list", "--json", "--profile", "first").rows) == 3
        assert len(bare("list", "--json", "--profile", "second").rows) == 5
