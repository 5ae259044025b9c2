"""`workorder login` asks for a platform's URL and credentials, stores them as a profile, and checks them; `trust`."""

from shlex import quote
from typing import Annotated, Final

from cyclopts import Parameter

from workorder_async.cli import profiles
from workorder_async.cli.commands.doctor import examine
from workorder_async.cli.connection import KEYS, SECRET, Connection, run
from workorder_async.cli.terminal import ask, ask_secret, can_ask, note, tell
from workorder_async.errors import ConfigError
from workorder_async.secret import Secret, without_credentials

_QUESTIONS: Final = {
    "base_url": "Base URL, such as https://workorder.example.com",
    "app_id": "AppId",
    "sign_scheme": "How requests are signed, such as md5:{app_id}{timestamp}{secret}",
}


def login(
    *,
    profile: Annotated[str, Parameter(help="Name of the profile.")] = "default",
    base_url: Annotated[str, Parameter(help="The platform's URL.")] = "",
    app_id: Annotated[str, Parameter(help="The AppId.")] = "",
    scheme: Annotated[str, Parameter(help="How requests are signed.")] = "",
    secret_command: Annotated[str, Parameter(help="A command that prints the secret, such as a keychain's.")] = "",
) -> int:
    """Keep a platform as a profile, and see whether it works. The first profile is used where none is named.

    Asks for what no option gives, on a terminal, the secret without an echo, and writes it to workorder.toml in the
    user's folder for configuration, for its owner alone. A command for the secret is run without a shell; the first
    line that it prints is the secret. Ends as `workorder doctor`.
    """
    from workorder_async.environment import checked_url, platform_of, variables

    path = profiles.path()
    profiles.refuse_taken(path, profile)
    values: dict[str, str | Secret] = {"base_url": base_url, "app_id": app_id, "sign_scheme": scheme}
    if not can_ask() and not (all(values.values()) and secret_command):
        options = "--base-url, --app-id, --scheme and --secret-command"
        raise ConfigError(f"login asks on a terminal; without one give {options}, or write {str(path)!r} by hand")
    for key, question in _QUESTIONS.items():
        values[key] = str(values[key] or ask(question)).strip()
    if secret_command:
        values["secret_command"] = secret_command
        secret = profiles.said_by(secret_command, "the command")
    else:
        values["secret"] = secret = ask_secret(f"Secret of AppId {values['app_id']}")
    # Refuse values that cannot work before they are written.
    environ = {name: values[key] for name, key in KEYS.items()} | {SECRET: secret}
    url, _ = platform_of(variables(environ))
    checked_url(url)
    profiles.add(path, profile, values)
    named = quote(profile)
    note(f"Profile {profile!r} is in {str(path)!r}; use it with --profile {named} or {profiles.PROFILE}={named}")
    # Check these values, and not what a command would find: variables and the folder's file go before the profile.
    if code := run(examine(environ, Connection().options(environ), as_json=False)):
        note(f"The profile is kept all the same: mend or remove it in {str(path)!r}")
    return code


def trust() -> None:
    """Allow the workorder.toml of this folder to be read, as it is now.

    Whoever writes such a file decides where signed requests go: look at it first. What it has is printed. Once it
    changes or stands elsewhere, it is not read until it is trusted again. A secret_command of it is never run.
    """
    file = profiles.trust()
    for name, profile in file.by_name.items():
        url = without_credentials(profile.get("base_url"))
        tell(f"{name}: {url or 'no base_url'}, AppId {profile.get('app_id') or 'not said'}")
        if profile.get("secret_command"):
            note(f"workorder: the secret_command of {name} is not run; move the profile to {profiles.path()}")
    note(f"{file.path} is trusted, and goes before the same names of {profiles.path()}")
