"""Platforms by name: `workorder.toml` in the user's folder for configuration, and in this folder once it is trusted.

    default = "stage"

    [profiles.stage]
    base_url = "https://workorder.example.com"
    app_id = "my-app"
    sign_scheme = "md5:{app_id}{timestamp}{secret}"
    secret_command = "secret-tool lookup service workorder"    # or: secret = "..."

Two files are read: the user's own, and one in the current folder. Both decide where a secret is sent, so a file that a
stranger can write is as bad as a stolen secret. The user's file must belong to the user, and nobody else may write it.
A file with a secret or a `secret_command`, also that of a folder, must belong to the user, and nobody else may read it.
The file of a folder may have come with a `git clone`: it is read only after `workorder trust`, which holds for this
path and this content, and its `secret_command` is never run. If both files have the profile that is wanted, the
folder's is used, and a remark on stderr says so.
"""

import hashlib
import json
import os
import re
import shlex
import stat
import subprocess
import tomllib
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from time import sleep
from typing import Any, Final, TypeAlias

from attrs import frozen

from workorder_async.arguments import has_bytes, kind_of, unknown_name
from workorder_async.cli.terminal import note
from workorder_async.durable import InUseError, LockedFile, written_whole
from workorder_async.errors import ConfigError
from workorder_async.secret import Secret

PROFILE: Final = "WORKORDER_PROFILE"
KEYS: Final = ("base_url", "app_id", "sign_scheme", "secret", "secret_command")
_FILE: Final = "workorder.toml"
_LARGEST: Final = 1 << 20
_BARE: Final = re.compile("[A-Za-z0-9_-]+")
#: Seconds for a command that tells a secret: somebody may have to unlock a keychain.
_PATIENCE: Final = 60.0
#: Times to try to lock the file, and seconds between them: an `add` takes a moment.
_LOCK_TRIES, _LOCK_PAUSE = 50, 0.1

Values: TypeAlias = Mapping[str, str | Secret]


@frozen
class Profile:
    """One platform of a file."""

    path: Path
    name: str
    values: Values
    """The text in the file; the secret is wrapped."""
    is_users: bool
    """Whether it is of the user's file; False for the file of the current folder."""

    def get(self, key: str) -> str:
        """Return the value of a key other than "secret"; "" where the profile has none."""
        return str(self.values.get(key, ""))

    @property
    def tells_secret(self) -> bool:
        """Whether the profile has a secret, or a command that prints it."""
        return not self.values.keys().isdisjoint(("secret", "secret_command"))

    def secret(self) -> Secret:
        """Return the secret, or the output of its command; an empty one without both. Raises `ConfigError`."""
        if "secret_command" not in self.values:
            return Secret(self.values.get("secret", ""))
        where = f"{self.path}: profiles.{self.name}.secret_command"
        if not self.is_users:
            raise ConfigError("is not run from the file of a folder", argument=where, mend=f"move it to {path()}")
        return said_by(self.get("secret_command"), where)


@frozen
class Profiles:
    """The profiles of one file; none for a file that does not exist or is not trusted."""

    path: Path
    default: str
    """The name of the file's default profile; "" for none."""
    by_name: Mapping[str, Profile]
    digest: str
    """The SHA-256 of the file's path and content; "" for a file that does not exist or is not trusted."""


def path() -> Path:
    """Return where the user's file is, or would be. Raises `ConfigError` where there is no home."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        folder = os.path.join(os.path.expanduser("~"), ".config")
    # Without a home expanduser leaves "~" as it is. A relative path would lead into the current folder, which may be
    # somebody else's.
    if not os.path.isabs(folder):
        mend = "set HOME, or XDG_CONFIG_HOME, to a whole path"
        raise ConfigError("there is no home folder to look for profiles in", mend=mend)
    return Path(folder) / "workorder" / _FILE


def chosen(asked: str | None) -> Profile | None:
    """Return the profile that --profile (`asked`) or the variable names, else a file's default; None where none is.

    The file of the current folder, if it is trusted, is asked first, and then the user's: the user's profiles of other
    names can still be chosen. Raises `ConfigError` that names file, profile and key, and the mend.
    """
    wanted = asked or os.environ.get(PROFILE, "").strip()
    files = [*_of_folder(), read(path())]
    found = [file.by_name[name] for file in files if (name := wanted or file.default) in file.by_name]
    if len(found) > 1:
        here, users = found
        note(f"workorder: profile {here.name!r} of {here.path} goes before {users.name!r} of {users.path}")
    users_file = files[-1]
    if not found and not wanted and users_file.by_name:
        note(f"workorder: {users_file.path} has no default; choose by --profile: {', '.join(users_file.by_name)}")
    if found or not wanted:
        return found[0] if found else None
    known = f"it has {', '.join(users_file.by_name)}" if users_file.by_name else "it has none"
    mend = f"{known}, and `workorder login` adds one"
    raise ConfigError(f"there is no profile {wanted!r}", argument=f"{users_file.path}:", mend=mend)


def _of_folder() -> list[Profiles]:
    """Return the file of the current folder if it is trusted. A remark on stderr tells of one that is not."""
    here = _here()
    if here == path() or not os.path.lexists(here):
        return []
    file = read(here, is_users=False, only_trusted=True)
    if not file.digest:
        note(f"workorder: {here} is not read; `workorder trust` allows it, once you have looked at it")
    return [file] if file.digest else []


def _here() -> Path:
    """Return the path of the current folder's file; the path of the user's file where both are one file.

    Else a user in the configuration folder would be asked to trust their own file.
    """
    try:
        here = Path.cwd() / _FILE
    except FileNotFoundError:  # the current folder was removed: a path without a file
        return Path(_FILE)
    return path() if os.path.realpath(here) == os.path.realpath(path()) else here


def trust() -> Profiles:
    """Trust the current folder's file as it is now, and return it.

    Raises `ConfigError` for a file that cannot work, is missing, or is the user's own.
    """
    here = _here()
    if here == path():
        raise ConfigError("is your own file, and needs no trust", argument=f"{here}:")
    file = read(here, is_users=False)
    if not file.digest:
        raise ConfigError(f"there is no file {str(here)!r}", mend="go to its folder first")
    mark = _mark(file.digest)
    mark.parent.mkdir(0o700, parents=True, exist_ok=True)
    with written_whole(mark) as written:
        written.write(os.fsencode(here))
    return file


def _mark(digest: str) -> Path:
    """Return the file whose existence means that a file with this digest is trusted, if the user owns it."""
    return path().with_name("trusted") / digest


def read(path: Path, *, is_users: bool = True, only_trusted: bool = False) -> Profiles:
    """Return the profiles of a file; none if it does not exist, or with `only_trusted` is not trusted.

    Raises `ConfigError` for a file that cannot work, or to which other people have more rights than they may.
    """
    whole, digest, others = _read_file(path, only_trusted=only_trusted)
    if wrong := unknown_name(f"{path} has no place for", whole, ("default", "profiles")):
        raise ConfigError(wrong)
    default, profiles = whole.get("default", ""), whole.get("profiles", {})
    if not isinstance(profiles, dict):
        raise ConfigError("must be tables, such as [profiles.stage]", argument=f"{path}: profiles")
    for name, values in profiles.items():
        _check(path, name, values)
    if not isinstance(default, str) or (default and default not in profiles):
        mend = f"it must be one of {', '.join(profiles) or 'its profiles, as stage is of [profiles.stage]'}"
        said = type(default).__name__ if isinstance(default, list | dict) else repr(default)
        raise ConfigError(f"is {said}", argument=f"{path}: default", mend=mend)
    by_name = {name: Profile(path, name, values, is_users) for name, values in profiles.items()}
    # A folder's file without a secret may be writable for others: trust holds for its content, so a change ends it.
    tells = any(profile.tells_secret for profile in by_name.values())
    if others & (0o077 if tells else 0o022 if is_users else 0):
        problem = f"others may {'read' if tells else 'write'} the file, and it says where a secret goes"
        mend = f"make it yours, and run: chmod 600 {shlex.quote(str(path))}"
        raise ConfigError(problem, argument=f"{path}:", mend=mend)
    return Profiles(path, default, by_name, digest)


def _read_file(path: Path, *, only_trusted: bool) -> tuple[dict[str, Any], str, int]:
    """Parse a file, see `_parse`; a file that does not exist, or is not trusted, is empty. Raises `ConfigError`.

    The error is raised outside of each `except`, so that it does not carry the frame of `_parse`: that frame holds the
    secret as bare text, and a traceback with locals would show it.
    """
    try:
        return _parse(path, only_trusted=only_trusted)
    except OSError as error:
        if only_trusted or isinstance(error, FileNotFoundError | NotADirectoryError):
            return {}, "", 0
        why = error.strerror or str(error)
    except RecursionError:
        why = "this is no TOML: it is too deep"
    except ValueError as error:  # no UTF-8, or no TOML
        why = f"this is no TOML: {error}"
    raise ConfigError(why, argument=f"{path}:")


def _parse(path: Path, *, only_trusted: bool) -> tuple[dict[str, Any], str, int]:
    """Return a file's TOML with secrets wrapped, its digest, and the mode bits of other people's rights to it.

    If the file belongs to somebody else, all bits are set: its owner can grant any right. O_NONBLOCK keeps the opening
    of a named pipe from waiting for a writer; a pipe is refused.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise OSError(f"it is no file of at most {_LARGEST:,} bytes")
        content = file.read(_LARGEST)
    # The digest covers the paths of a link and its target: else a link in a fetched folder could lead to a file that is
    # trusted, but only in its own folder.
    places = dict.fromkeys((os.path.realpath(path), str(path)))
    digest = hashlib.sha256(b"\0".join((*map(os.fsencode, places), content))).hexdigest()
    # Without a mark lstat raises OSError, which `_read_file` takes for "not trusted".
    if only_trusted and _mark(digest).lstat().st_uid != getattr(os, "geteuid", int)():
        return {}, "", 0
    whole = tomllib.loads(content.decode("utf-8-sig"))
    profiles = whole.get("profiles")
    for values in profiles.values() if isinstance(profiles, dict) else ():
        if isinstance(values, dict) and isinstance(values.get("secret"), str):
            values["secret"] = Secret(values["secret"])
    if os.name != "posix":
        return whole, digest, 0
    return whole, digest, stat.S_IMODE(found.st_mode) & 0o077 if found.st_uid == os.geteuid() else 0o777


def _check(path: Path, name: str, values: object) -> None:
    where = f"{path}: profiles.{name}"
    if not isinstance(values, dict):
        raise ConfigError(f"must be a table: [profiles.{name}]", argument=where)
    if wrong := unknown_name(f"{where} has no key", values, KEYS):
        raise ConfigError(wrong)
    for key, value in values.items():
        if not isinstance(value, str | Secret):
            # Name the type alone: the value may be the secret, also within a list or a table, or too deep to print.
            is_secret = key.startswith("secret") or isinstance(value, list | dict)
            said = type(value).__name__ if is_secret else kind_of(value)
            raise ConfigError(f"is {said}", argument=f"{where}.{key}", mend="it must be text, in quotes")
    if {"secret", "secret_command"} <= values.keys():
        raise ConfigError("has both secret and secret_command", argument=where, mend="remove one")


def said_by(command: str, where: str) -> Secret:
    """Run a command without a shell, and return the first line that it prints. Raises `ConfigError` for none.

    `where` names the command in the error: file, profile and key.
    """
    why, secret = _run(command)
    if why or not secret.reveal().strip():
        problem = f"told no secret: {why or 'its first line is empty'}"
        raise ConfigError(problem, argument=where, mend="try it in a shell")
    return secret


def _run(command: str) -> tuple[str, Secret]:
    """Run a command; return the reason why it failed, "" if it did not, and the first line of its output."""
    try:
        if not (words := shlex.split(command)):
            return "it is empty", Secret("")
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_PATIENCE, check=False)  # noqa: S603 - the user's own command
        why = f"it ended with {done.returncode}" if done.returncode else ""
        return why, Secret(done.stdout.decode().partition("\n")[0].removesuffix("\r"))
    except UnicodeDecodeError:
        return "its output is not UTF-8", Secret("")
    except subprocess.TimeoutExpired:
        return f"it did not end within {_PATIENCE:.0f} s", Secret("")
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error), Secret("")


def refuse_taken(path: Path, name: str) -> None:
    """Raise `ConfigError` if a file has a profile of this name, or cannot be read, or if the text cannot be a name."""
    if not name.strip():
        raise ConfigError("is empty", argument="--profile", mend="give the profile a name")
    if not has_bytes(name):
        raise ConfigError(f"is {name!r}, which is no UTF-8", argument="--profile", mend="give it another name")
    if name in read(path).by_name:
        mend = "change it there, or choose another --profile"
        raise ConfigError(f"profile {name!r} is there already", argument=f"{path}:", mend=mend)


def add(path: Path, name: str, values: Values) -> None:
    """Add a profile at the end of a file that only its owner can read; in a new or empty file it is the default.

    The rest of the file stays as it is, comments too. Raises `ConfigError` for a file that has a profile of this name
    by now, that cannot be locked, or after which no table can stand, such as one with `profiles = {...}` on a line.
    """
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    with closing(_lock(path)):
        refuse_taken(path, name)
        _add(path, name, values)


def _add(path: Path, name: str, values: Values) -> None:
    # No variable holds a secret bare: a traceback with locals would show it.
    there = Secret(path.read_bytes().rstrip().decode("utf-8-sig") if path.exists() else "")
    before = there if there.reveal() else Secret(f"default = {_quoted(name)}")
    head = f"[profiles.{name if _BARE.fullmatch(name) else _quoted(name)}]"
    is_toml = False
    with suppress(ValueError):
        is_toml = bool(tomllib.loads(f"{before.reveal()}\n\n{head}"))
    if not is_toml:
        mend = f"write them as tables, such as {head}, and try again"
        raise ConfigError("its profiles are written in a way that takes no further one", argument=f"{path}:", mend=mend)
    with written_whole(path) as file:
        file.write(f"{before.reveal()}\n\n{head}\n".encode())
        for key, value in values.items():
            file.write(Secret(f"{key} = {_quoted(Secret(value).reveal())}\n").encoded())


def _lock(path: Path) -> LockedFile:
    """Lock a file, by one beside it that stays: of two programs that add at once, one would lose its profile."""
    target = os.path.realpath(path)
    for _ in range(_LOCK_TRIES):
        try:
            return LockedFile(f"{target}.lock", is_ours=True)
        except InUseError:
            sleep(_LOCK_PAUSE)
        except OSError as error:
            mend = "choose a folder where files can be made and locked (XDG_CONFIG_HOME), or write the profile by hand"
            raise ConfigError(error.strerror or str(error), argument=f"{target}.lock:", mend=mend) from None
    raise ConfigError("another program holds it", argument=f"{target}.lock:", mend="wait for its end, and try again")


def _quoted(text: str) -> str:
    """Write a text as a TOML string: as JSON does, with the character DEL (7F) escaped, which TOML does not allow."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
