"""cli/profiles.py: platforms by name in a file, what goes before it, and what is refused of it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from traceback import TracebackException

import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere, runner
from tests.support.slow import slow_after, slow_but_every
from workorder_async.cli import profiles
from workorder_async.cli.connection import Connection
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Sandbox
from workorder_async.secret import Secret

HERE = "workorder.toml"
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
    monkeypatch.setenv("WORKORDER_PROFILE", " other\n")
    assert bare("list").code == 0
    monkeypatch.setenv("WORKORDER_PROFILE", "broken")
    assert bare("list").code == 2
    assert bare("list", "--profile", "stage").code == 0


def test_no_default(bare: Workorder, write: Write, sandbox: Sandbox) -> None:
    """Without a default a profile is used only where it is named, and which there are is said."""
    path = write(of(sandbox))
    told, refused, _ = bare("list").err.split("\n")
    assert told == f"workorder: {path} has no default; choose by --profile: stage"
    assert refused.startswith("workorder: not set: WORKORDER_BASE_URL")
    assert bare("list", "--profile", "stage").code == 0


def test_the_environment_wins(bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable goes before the file, an option before both; where a profile was asked for this is said."""
    write(f'default = "stage"\n{of(sandbox)}')
    monkeypatch.setenv("WORKORDER_BASE_URL", "http://127.0.0.1:1")
    assert bare("list", "--base-url", sandbox.url).code == 0
    monkeypatch.setenv("WORKORDER_APP_ID", "another")
    assert Connection(base_url=sandbox.url).found()[0]["WORKORDER_APP_ID"] == "another"
    monkeypatch.delenv("WORKORDER_APP_ID")
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


def test_where_the_users_file_is(bare: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is under XDG_CONFIG_HOME, or under ~/.config where that is not set, or is no whole path."""
    assert profiles.path() == tmp_path / "config" / "workorder" / "workorder.toml"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert profiles.path() == tmp_path / "home" / ".config" / "workorder" / "workorder.toml"


WRONG = [
    ("no toml", "workorder.toml: this is no TOML: "),
    ('defualt = "a"', "has no place for 'defualt'; did you mean default?"),
    ("profiles = 1", "profiles must be tables, such as [profiles.stage]"),
    ("default = 1", "default is 1; it must be one of its profiles, as stage is of [profiles.stage]"),
    ('default = "b"\n[profiles.a]\n', "default is 'b'; it must be one of a"),
    ("[profiles]\na = 1", "profiles.a must be a table: [profiles.a]"),
    ("[profiles.a]\nbase-url = 'x'", "profiles.a has no key 'base-url'; did you mean base_url?"),
    ("[profiles.a]\napp_id = 1", "profiles.a.app_id is 1; it must be text, in quotes"),
    ("[profiles.a]\nsecret = 8413390217765512", "profiles.a.secret is int; it must be text, in quotes"),
    ("[profiles.a]\nsecret = ['hunter2']", "profiles.a.secret is list; it must be text, in quotes"),
    ("[profiles.a.secret]\nvalue = 'hunter2'", "profiles.a.secret is dict; it must be text, in quotes"),
    ("[profiles.a]\nsecret_command = 84133", "profiles.a.secret_command is int; it must be text, in quotes"),
    ("[profiles.a]\napp_id = ['hunter2']", "profiles.a.app_id is list; it must be text, in quotes"),
    (f"[profiles.a]\napp_id{'.a' * 3000} = 1", "profiles.a.app_id is dict; it must be text, in quotes"),
    (f"default{'.a' * 3000} = 1", "default is dict; it must be one of its profiles, as stage is of [prof"),
    ("[profiles.a]\nsecret = 'x'\nsecret_command = 'x'", "has both secret and secret_command; remove one"),
    ("[profiles.a]\nsecret_command = ''", "profiles.a.secret_command told no secret: it is empty; try it in a shell"),
    ("[profiles.a]\nsecret_command = '\"'", "profiles.a.secret_command told no secret: No closing quotation"),
    ("[profiles.a]\nsecret_command = '/nowhere/x'", "secret_command told no secret: No such file or directory; try it"),
    ("[profiles.a]\nsecret_command = 'false'", "secret_command told no secret: it ended with 1; try it in a shell"),
    ("[profiles.a]\nsecret_command = 'sh -c \"echo hunter2; exit 3\"'", "told no secret: it ended with 3; try it in"),
    (
        "[profiles.a]\nsecret_command = 'true'",
        "secret_command told no secret: its first line is empty; try it",
    ),
    ("[profiles.a]\nsecret_command = 'printf \"\\377\"'", "secret_command told no secret: its output is not UTF-8"),
    ("[profiles.b]\n", "there is no profile 'a'; it has b, and `workorder login` adds one"),
]


@pytest.mark.parametrize(("text", "said"), slow_but_every(2, WRONG))
def test_what_is_refused(bare: Workorder, write: Write, text: str, said: str) -> None:
    """What cannot work is told in one sentence with the file, the key, and what to do."""
    path = write(text)
    ran = bare("list", "--profile", "a")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"workorder: {path}")
    assert said in ran.err
    assert "hunter2" not in ran.err
    assert ran.err.count("\n") == 1


def test_the_books_file(write: Write) -> None:
    """The file that the book shows is one, with each key that is known but for `secret`, which stands in its remark."""
    book = Path(__file__).parents[2] / "docs" / "operations.md"
    sample = book.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    found = profiles.read(write(sample))
    assert {*found.by_name[found.default].values} == {*profiles.KEYS} - {"secret"}


def test_no_file(bare: Workorder, tmp_path: Path) -> None:
    """A profile of a file that is not there is told with the place where it would be."""
    path = tmp_path / "config" / "workorder" / "workorder.toml"
    ran = bare("list", "--profile", "a")
    assert ran.err == f"workorder: {path}: there is no profile 'a'; it has none, and `workorder login` adds one\n"


@pytest.mark.parametrize("mode", slow_after(2, [0o640, 0o602, 0o604, 0o620]))
@pytest.mark.parametrize("secret", ['secret = "x"', 'secret_command = "x"', ""])
def test_a_file_that_others_reach(bare: Workorder, write: Write, sandbox: Sandbox, mode: int, secret: str) -> None:
    """A secret or a command is taken from a file for its owner alone; without them anybody may read it."""
    path = write(of(sandbox, secret=secret), mode)
    ran = bare("list", "--profile", "stage")
    if not secret and not mode & 0o022:
        assert ran.err.startswith("workorder: not set: WORKORDER_APP_SECRET;")
    else:
        what = "read" if secret else "write"
        assert (
            f"others may {what} the file, and it says where a secret goes; make it yours, and run: chmod 600 {path}"
            in ran.err
        )
    assert ran.code == 2


@pytest.mark.parametrize("secret", ["secret_command = 'touch ran'", 'secret = "x"', ""])
def test_a_file_of_somebody_else(
    bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Nothing is run or taken that somebody else wrote into the user's file."""
    write(of(sandbox, secret=secret))
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert "make it yours" in bare("list", "--profile", "stage").err
    assert not Path("ran").exists()


def test_a_command_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has a minute; then it is ended, and this is said."""
    monkeypatch.setattr(profiles, "_PATIENCE", 0.2)
    with pytest.raises(ConfigError, match="x told no secret: it did not end within 0 s"):
        profiles.said_by("sleep 60", "x")


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\x7f", "\x00", "\u2028", "😀", "{}[]=#'", "\ufeff", "\t "])
def test_what_is_written_is_read(write: Write, tmp_path: Path, text: str) -> None:
    """Every text comes back as it was, in a file for its owner alone; what was there stays, comments too."""
    path = tmp_path / "config" / "workorder" / "workorder.toml"
    profiles.add(path, f"a{text}", {"app_id": f"b{text}", "secret": Secret(f"c{text}")})
    profiles.add(path, "plain", {"app_id": "d"})
    assert path.stat().st_mode & 0o777 == 0o600
    file = profiles.read(path)
    found = file.by_name
    assert (file.default, list(found)) == (f"a{text}", [f"a{text}", "plain"])
    secret = found[f"a{text}"].values["secret"]
    assert isinstance(secret, Secret)
    assert (found[f"a{text}"].get("app_id"), secret.reveal()) == (f"b{text}", f"c{text}")
    kept = write(f"# mine\n{path.read_text('utf-8')}")
    profiles.add(kept, "third", {})
    assert kept.read_text("utf-8").startswith("# mine\n")
    assert list(profiles.read(kept).by_name) == [f"a{text}", "plain", "third"]


def test_a_byte_order_mark_is_no_part_of_it(bare: Workorder, write: Write, sandbox: Sandbox) -> None:
    """A file of an editor on Windows is read, and takes a further profile."""
    path = write(f'\ufeffdefault = "stage"\r\n{of(sandbox)}')
    assert bare("list").code == 0
    profiles.add(path, "second", {})
    assert list(profiles.read(path).by_name) == ["stage", "second"]


def test_no_frame_shows_the_secret(write: Write) -> None:
    """A traceback with locals of a broken file shows no secret of it."""
    path = write('[profiles.a]\nsecret = "hush-hush"\nsecrte = "x"\n')
    with pytest.raises(ConfigError, match="did you mean secret") as caught:
        profiles.read(path)
    shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "profiles.py" in shown
    assert "hush-hush" not in shown


def test_of_a_sandbox_with_elsewhere(bare: Workorder, write: Write) -> None:
    """Two platforms stand side by side in one file."""
    with elsewhere(Sandbox(3, app_secret=SECRET)) as first, elsewhere(Sandbox(5, app_secret=SECRET)) as second:
        write(of(first, "first") + of(second, "second"))
        assert len(bare("list", "--json", "--profile", "first").rows) == 3
        assert len(bare("list", "--json", "--profile", "second").rows) == 5


# The file of a folder


def test_this_folders_file_needs_trust(bare: Workorder, write: Write, sandbox: Sandbox) -> None:
    """The file of this folder is not read, which is said, until it is trusted; then it goes first."""
    users = write('default = "x"\n[profiles.x]\nbase_url = "http://127.0.0.1:1"\n')
    path = write(f'default = "stage"\n{of(sandbox)}', here=True)
    ran = bare("list")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"workorder: {path} is not read; `workorder trust` allows it")
    trusted = bare("trust")
    assert (trusted.code, trusted.out) == (0, f"stage: {sandbox.url}, AppId sandbox-app\n")
    ran = bare("list")
    assert ran.code == 0
    assert ran.err.startswith(f"workorder: profile 'stage' of {path} goes before 'x' of {users}\n")
    assert "goes before" not in bare("list", "--profile", "stage").err


@pytest.mark.parametrize(
    "way", slow_after(1, ["a byte more", "touched", "elsewhere", "another in its place", "a link"])
)
def test_trust_is_bound_to_place_and_content(
    bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    """What was trusted is read as long as it is the same in the same place, and no longer."""
    path = write(f'default = "stage"\n{of(sandbox)}', here=True)
    other = tmp_path / "other"
    other.mkdir()
    assert bare("trust").code == 0
    if way == "a byte more":
        path.write_bytes(path.read_bytes() + b"\n")
    elif way == "touched":
        path.touch()
    elif way == "elsewhere":
        path.rename(other / HERE)
        monkeypatch.chdir(other)
    elif way == "another in its place":
        (other / HERE).write_bytes(path.read_bytes().replace(b"127.0.0.1", b"127.0.0.2"))
        (other / HERE).chmod(0o600)
        (other / HERE).replace(path)
    else:
        path.rename(other / "real.toml")
        path.symlink_to(other / "real.toml")
    is_read = way == "touched"
    assert (bare("list").code, bare("list").code) == ((0, 0) if is_read else (2, 2))
    assert bare("trust").code == 0
    assert ("not set" in bare("list").err) is False


def test_a_folder_that_was_removed(bare: Workorder, write: Write, sandbox: Sandbox) -> None:
    """In a folder that is gone there is no file, and the user's profiles are used."""
    write(f'default = "stage"\n{of(sandbox)}')
    Path.cwd().rmdir()
    assert (bare("list").code, bare("doctor", "--profile", "stage").code) == (0, 0)
    assert bare("trust").err == "workorder: there is no file 'workorder.toml'; go to its folder first\n"


def test_a_link_to_a_file_that_is_trusted_elsewhere(
    bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Trust in a file's own folder is none in another that has a link to it; each is trusted by itself."""
    path = write(f'default = "stage"\n{of(sandbox)}', here=True)
    assert bare("trust").code == 0
    link = tmp_path / "strange" / HERE
    link.parent.mkdir()
    link.symlink_to(path)
    monkeypatch.chdir(link.parent)
    ran = bare("list")
    assert (ran.code, ran.err.startswith(f"workorder: {link} is not read; `workorder trust` allows it")) == (2, True)
    assert bare("trust").code == 0
    assert bare("list").code == 0
    monkeypatch.chdir(path.parent)
    assert bare("list").code == 0


@pytest.mark.parametrize("command", slow_after(1, ["list", "close 7 --closer-id 1 --closer-name x", "doctor"]))
def test_nothing_of_a_strangers_folder_matters(bare: Workorder, write: Write, sandbox: Sandbox, command: str) -> None:
    """In a folder that came from elsewhere every command does what it does in any other one."""
    write(f'default = "stage"\n{of(sandbox)}')
    stranger = of(sandbox, secret="secret_command = 'touch ran'").replace(sandbox.url, "http://127.0.0.1:1")
    expected = bare(*command.split()).code
    for text in (f'default = "stage"\n{stranger}', "no toml", f"default = {'[' * 100_000}", ""):
        write(text, here=True)
        ran = bare(*command.split())
        assert ran.code == expected
        assert "workorder.toml is not read; " in ran.err
    assert not Path("ran").exists()


def test_a_trusted_file_runs_no_command(bare: Workorder, write: Write, sandbox: Sandbox) -> None:
    """A command for the secret is not run from the file of a folder, not even after it is trusted."""
    profile = of(sandbox, secret="secret_command = 'touch ran'")
    write(f'default = "stage"\n{profile}', here=True)
    said = bare("trust").err
    assert "the secret_command of stage is not run" in said
    for words in (["list"], ["doctor"], ["list", "--profile", "stage"]):
        ran = bare(*words)
        assert (ran.code, "secret_command is not run from the file of a folder; move it to" in ran.err) == (2, True)
    assert not Path("ran").exists()


def test_what_cannot_be_trusted(
    bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, one that cannot work, and one whose secret others may read are not trusted."""
    assert "there is no file" in bare("trust").err
    write("no toml", here=True)
    assert "this is no TOML" in bare("trust").err
    write(of(sandbox), 0o644, here=True)
    assert "others may read the file" in bare("trust").err
    users = write(f'default = "stage"\n{of(sandbox)}')
    monkeypatch.chdir(users.parent)
    assert "is your own file, and needs no trust" in bare("trust").err
    assert (bare("list").code, bare("list").err.count("\n")) == (0, 1)


def test_trust_shows_no_password(bare: Workorder, write: Write) -> None:
    """A password in a URL, which is of no use there, is not printed."""
    write('[profiles.a]\nbase_url = "https://bob:hunter2@h"\n', here=True)
    assert bare("trust").out == "a: https://h, AppId not said\n"


def test_a_mark_of_somebody_else(
    bare: Workorder, write: Write, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file is trusted by the user alone; one without a secret also where others may write it: its content counts."""
    write(f'default = "stage"\n{of(sandbox, secret="")}', 0o622, here=True)
    assert bare("trust").code == 0
    [mark] = (tmp_path / "config" / "workorder" / "trusted").iterdir()
    assert mark.stat().st_mode & 0o777 == 0o600
    assert "not read" not in bare("list").err
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert "not read" in bare("list").err


# Where a secret goes


@pytest.mark.parametrize(
    ("option", "variable"),
    slow_after(
        5,
        [
            ("http://127.0.0.1:1", ""),
            ("", "http://127.0.0.1:1"),
            ("http://localhost:{port}", ""),
            ("https://127.0.0.1:{port}", ""),
            ("http://127.0.0.1:{port}@evil.example", ""),
            ("//127.0.0.1:{port}", ""),
            ("http://[", ""),
            ("", "http://127.0.0.1.evil.example:{port}"),
        ],
    ),
)
@pytest.mark.parametrize("secret", slow_after(1, ["secret_command = 'touch ran'", f'secret = "{SECRET}"']))
def test_a_secret_goes_to_its_own_host(
    bare: Workorder,
    write: Write,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    variable: str,
    secret: str,
) -> None:
    """The secret of a profile signs nothing for a host that stands elsewhere; a secret that stands there, too, does."""
    write(f'default = "stage"\n{of(sandbox, secret=secret)}')
    port = sandbox.url.rpartition(":")[2]
    if variable:
        monkeypatch.setenv("WORKORDER_BASE_URL", variable.format(port=port))
    words = ["--base-url", option.format(port=port)] if option else []
    before = sandbox.requests
    for command in (["doctor"], ["list", "--profile", "stage"]):
        ran = bare(*command, *words)
        source = "--base-url" if option else "WORKORDER_BASE_URL"
        assert (ran.code, f"is for {sandbox.url}, and {source} names another platform; leave " in ran.err) == (2, True)
    assert (sandbox.requests, Path("ran").exists()) == (before, False)
    monkeypatch.setenv("WORKORDER_APP_SECRET", "of-the-other")
    assert "names another platform" not in bare("list", *words, "--timeout", "0.1").err


@pytest.mark.parametrize(
    "spelt", slow_after(2, ["{url}", "HTTP://127.0.0.1:{port}", "{url}/", " {url} ", "{url}/path"])
)
def test_the_same_host_is_spelt_in_ways(bare: Workorder, write: Write, sandbox: Sandbox, spelt: str) -> None:
    """A URL of the same host and port gets the profile's secret."""
    write(f'default = "stage"\n{of(sandbox)}')
    url = spelt.format(url=sandbox.url, port=sandbox.url.rpartition(":")[2])
    assert "names another platform" not in bare("list", "--base-url", url).err


def test_a_secret_without_a_host_goes_nowhere(bare: Workorder, write: Write, sandbox: Sandbox) -> None:
    """A profile that tells a secret and no URL signs nothing for the URL of a variable."""
    text = "".join(line for line in of(sandbox).splitlines(keepends=True) if "base_url" not in line)
    write(f'default = "stage"\n{text}')
    ran = bare("list", "--base-url", sandbox.url)
    assert (ran.code, "is for no base URL, and --base-url names another platform" in ran.err) == (2, True)


# Files that are none


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def _deep(path: Path) -> None:
    path.write_text(f"default = {'[' * 100_000}")
    path.chmod(0o600)


def _large(path: Path) -> None:
    path.write_bytes(b"#" * (1 << 21))
    path.chmod(0o600)


ODD: dict[str, Callable[[Path], object]] = {
    "a pipe": _pipe,
    "deep": _deep,
    "large": _large,
    "a folder": lambda path: path.mkdir(),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "bytes": lambda path: path.write_bytes(b"\xff"),
    "a loop": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("kind", slow_after(4, ODD))
@pytest.mark.parametrize("here", [False, True])
def test_an_odd_file(bare: Workorder, write: Write, sandbox: Sandbox, here: bool, kind: str) -> None:
    """A file that is none is one sentence at once; in a folder it is only not read."""
    path = write("", here=here)
    path.unlink()
    ODD[kind](path)
    if here:
        write(f'default = "stage"\n{of(sandbox)}')
        assert bare("list").code == 0
    for words in (["trust"] if here else ["list"], ["trust"] if here else ["doctor", "--profile", "x"]):
        ran = bare(*words)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert os.path.realpath(path) in ran.err or str(path) in ran.err


@pytest.mark.parametrize("home", slow_after(2, ["", None, ".", "home", "~"]))
def test_no_home(
    bare: Workorder, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str | None
) -> None:
    """Without a home there is no user's file: one sentence, unless the four variables are set."""
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    if home is not None:
        monkeypatch.setenv("HOME", home)
    for place in (Path(), Path("home"), Path("~")):
        (place / ".config" / "workorder").mkdir(parents=True)
        (place / ".config" / "workorder" / HERE).write_text(f'default = "stage"\n{of(sandbox)}')
        (place / ".config" / "workorder" / HERE).chmod(0o600)
    for words in (["list"], ["list", "--profile", "x"], ["trust"]):
        ran = bare(*words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.count("\n") == 1
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    assert bare("list").code == 0
