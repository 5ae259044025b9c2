"""Platforms by name: `workorder.toml` in this folder, or in the user's folder for configuration.

    default = "stage"

    [profiles.stage]
    base_url = "https://workorder.example.com"
    app_id = "my-app"
    sign_scheme = "md5:{app_id}{timestamp}{secret}"
    secret_command = "secret-tool lookup service workorder"    # or: secret = "..."

A file with a secret, or with a command that is run, must belong to the user, and be for nobody else (0600).
"""

import json
import os
import re
import shlex
import stat
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import frozen

from workorder_async.arguments import kind_of, unknown_name
from workorder_async.durable import written_whole
from workorder_async.errors import ConfigError
from workorder_async.secret import Secret

PROFILE: Final = "WORKORDER_PROFILE"
KEYS: Final = ("base_url", "app_id", "sign_scheme", "secret", "secret_command")
_FILE: Final = "workorder.toml"
_BARE: Final = re.compile("[A-Za-z0-9_-]+")
#: Seconds for a command that tells a secret: somebody may have to unlock a keychain.
_PATIENCE: Final = 60.0

Values: TypeAlias = Mapping[str, str | Secret]


@frozen
class Profile:
    """One platform of a file."""

    path: Path
    """The file."""
    name: str
    """Its name there."""
    values: Values
    """What is written there, by `KEYS`; the secret is wrapped."""

    def get(self, key: str) -> str:
        """Return a value that is no secret; "" where it is not there."""
        return str(self.values.get(key, ""))

    def secret(self) -> Secret:
        """Return the secret, or the output of its command; an empty one without both. Raises `ConfigError`."""
        if "secret_command" in self.values:
            return said_by(self.get("secret_command"), f"{self.path}: profiles.{self.name}.secret_command")
        return Secret(self.values.get("secret", ""))


def path_in_use() -> Path:
    """Return the file that is read: the one of this folder, or the user's. It may not be there."""
    here = Path(_FILE)
    if here.exists():
        return here.absolute()
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(folder) if os.path.isabs(folder) else Path.home() / ".config") / "workorder" / _FILE


def chosen(asked: str | None) -> Profile | None:
    """Return the profile that was asked for, by option or variable, or is the file's default; None where none is.

    Raises `ConfigError` that names file, profile and key, and the mend.
    """
    name = asked or os.environ.get(PROFILE, "")
    path = path_in_use()
    if not path.exists():
        if name:
            raise ConfigError(
                f"there is no file {str(path)!r}", argument=f"profile {name!r}:", mend="`workorder login` writes it"
            )
        return None
    default, profiles = read(path)
    name = name or default
    if not name:
        return None
    if name not in profiles:
        known = f"it has {', '.join(profiles)}" if profiles else "it has none"
        raise ConfigError(
            f"there is no profile {name!r}", argument=f"{path}:", mend=f"{known}, and `workorder login` adds one"
        )
    return Profile(path, name, profiles[name])


def read(path: Path) -> tuple[str, Mapping[str, Values]]:
    """Return the name of a file's default ("" for none) and its profiles. Raises `ConfigError`."""
    whole = _parsed(path)
    if wrong := unknown_name(f"{path} has no place for", whole, ("default", "profiles")):
        raise ConfigError(wrong)
    default, profiles = whole.get("default", ""), whole.get("profiles", {})
    if not isinstance(profiles, dict):
        raise ConfigError("must be tables, such as [profiles.stage]", argument=f"{path}: profiles")
    for name, values in profiles.items():
        _check(path, name, values)
    if not isinstance(default, str) or (default and default not in profiles):
        mend = f"it must be one of {', '.join(profiles) or 'its profiles'}"
        raise ConfigError(f"is {default!r}", argument=f"{path}: default", mend=mend)
    return default, profiles


def _parsed(path: Path) -> dict[str, Any]:
    """Parse a file, and wrap its secrets; no frame that an error comes through holds one."""
    try:
        return _wrapped(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError as error:  # no UTF-8, or no TOML
        why = f"this is no TOML: {error}"
    raise ConfigError(why, argument=f"{path}:")


def _wrapped(whole: dict[str, Any]) -> dict[str, Any]:
    profiles = whole.get("profiles")
    for values in profiles.values() if isinstance(profiles, dict) else ():
        if isinstance(values, dict) and isinstance(values.get("secret"), str):
            values["secret"] = Secret(values["secret"])
    return whole


def _check(path: Path, name: str, values: object) -> None:
    """Refuse a profile that cannot work, and a secret or command in a file that others can read or write."""
    where = f"{path}: profiles.{name}"
    if not isinstance(values, dict):
        raise ConfigError(f"must be a table: [profiles.{name}]", argument=where)
    if wrong := unknown_name(f"{where} has no key", values, KEYS):
        raise ConfigError(wrong)
    for key, value in values.items():
        if not isinstance(value, str | Secret):
            raise ConfigError(f"is {kind_of(value)}", argument=f"{where}.{key}", mend="it must be text, in quotes")
    if {"secret", "secret_command"} <= values.keys():
        raise ConfigError("has both secret and secret_command", argument=where, mend="remove one")
    if not values.keys().isdisjoint(("secret", "secret_command")) and os.name == "posix":
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise ConfigError(
                "the file belongs to somebody else, so that no secret or command is taken of it", argument=f"{where}:"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            problem = "others may read the file, and it tells a secret"
            raise ConfigError(problem, argument=f"{where}:", mend=f"run: chmod 600 {path}")


def said_by(command: str, where: str) -> Secret:
    """Run a command without a shell, and return the first line that it prints. Raises `ConfigError`."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"cannot be read: {error}", argument=where, mend="write it as in a shell") from None
    if not words:
        raise ConfigError("is empty", argument=where, mend="write a command that prints the secret")
    why, secret = _run(words)
    problem = (
        f"told no secret: {why}" if why else "" if secret.reveal().strip() else "printed nothing on its first line"
    )
    if problem:
        raise ConfigError(f"{words[0]!r} {problem}", argument=f"{where}:", mend="try it in a shell")
    return secret


def _run(words: list[str]) -> tuple[str, Secret]:
    """Return why there is no secret, "" where there is one, and the first line, wrapped."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_PATIENCE, check=False)  # noqa: S603 - the user's own command
        why = f"it ended with {done.returncode}" if done.returncode else ""
        return why, Secret(done.stdout.decode().partition("\n")[0].removesuffix("\r"))
    except OSError as error:
        return error.strerror or str(error), Secret("")
    except subprocess.TimeoutExpired:
        return f"it did not end within {_PATIENCE:.0f} s", Secret("")
    except UnicodeDecodeError:
        return "what it prints is not UTF-8", Secret("")


def refuse_taken(path: Path, name: str) -> None:
    """Raise `ConfigError` where a file has this profile already, or cannot be read, or where this is no name."""
    if not name.strip():
        raise ConfigError("is empty", argument="--profile", mend="give the profile a name")
    if path.exists() and name in read(path)[1]:
        mend = "change it there, or choose another --profile"
        raise ConfigError(f"profile {name!r} is there already", argument=f"{path}:", mend=mend)


def add(path: Path, name: str, values: Values) -> None:
    """Add a profile to a file, for its owner alone; in a new file it is the default.

    The rest of the file stays as it is, comments too.
    """
    there = path.exists()
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(path.read_bytes().rstrip() + b"\n\n" if there else f"default = {_quoted(name)}\n\n".encode())
        file.write(f"[profiles.{name if _BARE.fullmatch(name) else _quoted(name)}]\n".encode())
        for key, value in values.items():
            # No variable holds the secret bare: a traceback with locals would show it.
            file.write(f"{key} = {_quoted(Secret(value).reveal())}\n".encode())


def _quoted(text: str) -> str:
    """Write a text as TOML does: JSON does it in the same way, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
