"""`workorder trust`: allow the workorder.toml of this folder."""

from workorder_async.cli import profiles
from workorder_async.cli.terminal import note, tell
from workorder_async.secret import without_credentials


def trust() -> int:
    """Allow the workorder.toml of this folder to be read, as it is now.

    Whoever writes such a file decides where signed requests go: look at it first. What it has is printed. Once it
    changes or stands elsewhere, it is not read until it is trusted again. A secret_command of it is never run.
    """
    file = profiles.trust()
    for name in file.by_name:
        profile = profiles.Profile(file, name)
        url = without_credentials(profile.get("base_url"))
        tell(f"{name}: {url or 'no base_url'}, AppId {profile.get('app_id') or 'not said'}")
        if profile.get("secret_command"):
            note(f"workorder: the secret_command of {name} is not run; move the profile to {profiles.path()}")
    note(f"{file.path} is trusted, and goes before the same names of {profiles.path()}")
    return 0
