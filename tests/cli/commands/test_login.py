"""`workorder login`: what it asks, what it writes, and that it ends in the checks of doctor."""

import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli_runs import SECRET, Workorder, on_terminal, runner, start
from tests.support.slow import slow_after
from workorder_async.cli import profiles
from workorder_async.durable import LockedFile
from workorder_async.sandbox import Sandbox
from workorder_async.secret import Secret


@pytest.mark.slow
def test_on_a_terminal(sandbox: Sandbox, tmp_path: Path) -> None:
    """It asks for each value, hides the secret, writes a profile for its owner alone, and says whether it works."""
    scheme = sandbox.environment["WORKORDER_SIGN_SCHEME"]
    with on_terminal({"XDG_CONFIG_HOME": str(tmp_path)}, "login", "--profile", "stage") as terminal:
        for question, answer in (
            ("Base URL", sandbox.url),
            ("AppId", "sandbox-app"),
            ("How requests are signed", scheme),
            ("Secret of AppId sandbox-app: ", SECRET),
        ):
            terminal.read_until(question)
            terminal.type(f"{answer}\n")
        assert terminal.finish() == 0
    path = tmp_path / "workorder" / "workorder.toml"
    assert SECRET.encode() not in terminal.seen
    assert b"signature" in terminal.seen
    assert path.stat().st_mode & 0o777 == 0o600
    file = profiles.read(path)
    found = file.by_name
    assert (file.default, list(found)) == ("stage", ["stage"])
    values = found["stage"].values
    secret = values["secret"]
    assert isinstance(secret, Secret)
    assert secret.reveal() == SECRET
    assert (values["base_url"], values["app_id"], values["sign_scheme"]) == (sandbox.url, "sandbox-app", scheme)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Workorder:
    """Run command lines without a variable, with a folder for configuration of their own."""
    return runner({"XDG_CONFIG_HOME": str(tmp_path)}, monkeypatch, capfd)


def given(sandbox: Sandbox, **changed: str) -> list[str]:
    """Return the options that leave no question."""
    options = {
        "base_url": sandbox.url,
        "app_id": "sandbox-app",
        "scheme": sandbox.environment["WORKORDER_SIGN_SCHEME"],
        "secret_command": f"{sys.executable} -c 'print(\"{SECRET}\")'",
    }
    return [word for name, value in (options | changed).items() for word in (f"--{name.replace('_', '-')}", value)]


def test_by_options(bare: Workorder, sandbox: Sandbox, tmp_path: Path) -> None:
    """Options answer the questions; the command stands in the file, not what it says; a second profile is added."""
    ran = bare("login", *given(sandbox))
    text = (tmp_path / "workorder" / "workorder.toml").read_text("utf-8")
    assert (ran.code, ran.out.count("\n")) == (0, 9)
    assert "Profile 'default' is in" in ran.err
    assert text.startswith('default = "default"\n\n[profiles.default]\n')
    assert bare("list").code == 0
    ran = bare("login", "--profile", "the other", *given(sandbox))
    assert (ran.code, "; use it with --profile 'the other' or " in ran.err) == (0, True)
    assert list(profiles.read(tmp_path / "workorder" / "workorder.toml").by_name) == ["default", "the other"]


@pytest.mark.parametrize("there", slow_after(1, [b"\xef\xbb\xbf", b"", b"\n"]))
def test_an_empty_file(bare: Workorder, sandbox: Sandbox, tmp_path: Path, there: bytes) -> None:
    """The first profile is the default in an empty file, too."""
    (tmp_path / "workorder").mkdir()
    (tmp_path / "workorder" / "workorder.toml").write_bytes(there)
    assert bare("login", *given(sandbox)).code == 0
    assert bare("list").code == 0


def test_what_fails_is_kept_and_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """A platform that refuses the secret is a failed check, and the exit code that of doctor.

    So it is where the variables, which go before a profile, are those of a platform that works.
    """
    workorder = runner({**sandbox.environment, "XDG_CONFIG_HOME": str(tmp_path)}, monkeypatch, capfd)
    ran = workorder("login", *given(sandbox, secret_command="echo wrong"))
    assert ran.code == 1
    assert "FAILED  signature" in ran.out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base_url": "host"}, "the base URL 'host' must be http:// or https://"),
        ({"scheme": "md5:{app}"}, "unknown placeholder {app}"),
        ({"app_id": "工单"}, "cannot be an HTTP header"),
        ({"secret_command": "false"}, "the command told no secret: it ended with 1"),
        ({"secret_command": ""}, "login asks on a terminal; without one give --base-url, --app-id, --scheme and"),
        ({"profile": " "}, "--profile is empty; give the profile a name"),
        ({"profile": "\udcff"}, "--profile is '\\udcff', which is no UTF-8; give it another name"),
    ],
)
def test_nothing_is_written(
    bare: Workorder, sandbox: Sandbox, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    """What cannot work is refused before anything is written."""
    ran = bare("login", *given(sandbox, **changed))
    assert (ran.code, ran.out, said in ran.err) == (2, "", True)
    assert list(tmp_path.iterdir()) == []


def test_a_profile_that_is_there(bare: Workorder, sandbox: Sandbox) -> None:
    """A profile is not written over."""
    assert bare("login", *given(sandbox)).code == 0
    ran = bare("login", *given(sandbox))
    assert (ran.code, "profile 'default' is there already; change it there" in ran.err) == (2, True)


def test_a_file_that_takes_no_further_profile(bare: Workorder, sandbox: Sandbox, tmp_path: Path) -> None:
    """A file whose profiles are no tables of their own stays as it is: with one more table it could not be read."""
    path = tmp_path / "workorder" / "workorder.toml"
    path.parent.mkdir()
    path.write_text('profiles = { a = { base_url = "http://127.0.0.1:1" } }\n')
    path.chmod(0o600)
    before = path.read_bytes()
    ran = bare("login", "--profile", "b", *given(sandbox))
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert (
        f"{path}: its profiles are written in a way that takes no further one; write them as tables, such as" in ran.err
    )
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the user's file, in a folder that is there."""
    (tmp_path / "workorder").mkdir()
    return tmp_path / "workorder" / "workorder.toml"


@pytest.mark.parametrize("name", ["default", "theirs"])
def test_while_another_one_writes(
    bare: Workorder, sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It waits, and loses nothing of the other; a name that the other took meanwhile is told to be taken."""
    held = LockedFile(f"{path}.lock")

    def ended(seconds: float) -> None:
        assert seconds < 1
        path.write_text(f'[profiles.{name}]\nbase_url = "http://127.0.0.1:1"\n')
        path.chmod(0o600)
        held.close()

    monkeypatch.setattr(profiles, "sleep", ended, raising=False)
    ran = bare("login", *given(sandbox))
    held.close()
    is_taken = name == "default"
    assert (ran.code, "profile 'default' is there already" in ran.err) == (2 if is_taken else 0, is_taken)
    assert list(profiles.read(path).by_name) == list(dict.fromkeys((name, "default")))


def test_a_lock_that_cannot_be_had(
    bare: Workorder, sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds it says that another program holds the lock, or why there is none; nothing is written."""
    naps = list[float]()
    monkeypatch.setattr(profiles, "sleep", naps.append, raising=False)
    with closing(LockedFile(f"{path}.lock")):
        ran = bare("login", *given(sandbox))
    assert (ran.code, 2 < sum(naps) < 10) == (2, True)
    assert f"{path}.lock: another program holds it; wait for its end, and try again" in ran.err
    Path(f"{path}.lock").unlink()
    Path(f"{path}.lock").symlink_to(path)
    ran = bare("login", *given(sandbox))
    assert (ran.code, f"{path}.lock: it is a link; choose a folder where files can be made and locked" in ran.err) == (
        2,
        True,
    )
    assert not path.exists()


@pytest.mark.slow
def test_several_at_once(sandbox: Sandbox, path: Path) -> None:
    """Each profile is kept."""
    names = [f"p{number}" for number in range(6)]
    environment = {"XDG_CONFIG_HOME": str(path.parents[1])}
    children = [start(environment, "login", "--profile", name, *given(sandbox)) for name in names]
    said = [child.communicate()[1].decode() for child in children]
    assert ([child.returncode for child in children], sum("Profile 'p" in text for text in said)) == ([0] * 6, 6)
    assert sorted(profiles.read(path).by_name) == names
