"""The commands that give a path its owner, group and mode: `gate init` and `gate check` print them."""

import os
import shlex
import stat


def commands(path: str, found: os.stat_result, *, owners: str, is_owned: bool, mode: int) -> list[str]:
    """Return what to run; `owners` is chown(1)'s, and `is_owned` whether these are right already."""
    quoted = shlex.quote(path)
    chown = [] if is_owned else [f"chown {shlex.quote(owners)} {quoted}"]
    # Five digits: with four, chmod(1) leaves the set-group-ID bit of a directory as it is.
    digits = 5 if stat.S_ISDIR(found.st_mode) else 4
    is_right = stat.S_IMODE(found.st_mode) == mode
    return chown if is_right else [*chown, f"chmod {mode:0{digits}o} {quoted}"]
