"""What keeps a gate from being set up here: looked for before anything is made. Each fault is a line for people."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from config.host import OURS, file_system, is_network, reason, weaknesses
from gate import TOOL_PATH
from gate.setup.resources import Directory, shell
from gate.setup.runner_block import program
from gate.store import audit_key, layout
from gate.store.files import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gate.setup.answers import Answers
    from gate.setup.resources import Thing

# As Debian and Fedora call them. The standalone ones are for hosts without systemd, such as containers.
_PACKAGES = {
    "gpasswd": "passwd or shadow-utils",
    "systemd-sysusers": "systemd or systemd-standalone-sysusers",
    "systemd-tmpfiles": "systemd or systemd-standalone-tmpfiles",
}


def installation(answers: Answers) -> Iterator[str]:
    """What is wrong with this venv, or with the name of gate.yaml."""
    executor = program("gate-executor")
    if not os.access(executor, os.X_OK):
        yield f"{executor} is not there: install the gate with pip into a venv, and use the `gate` of that"
    if not answers.config.isprintable():
        yield f"{answers.config!a} is no path to write gate.yaml to: name one without control characters"
    if os.path.dirname(answers.config).startswith(f"{answers.state_dir}/"):
        yield (
            f"{answers.config} lies within the state directory, whose parts are not the operator's: name "
            "another by --config"
        )


def places(answers: Answers) -> Iterator[str]:
    """What is wrong with what is there already of the ways to gate.yaml and to the state."""
    above = [_existing(os.path.dirname(path)) for path in (answers.config, answers.state_dir)]
    try:
        for each in dict.fromkeys(each for path in above for each in weaknesses(path, answers.runner.uid)):
            # What is called as ours may be changed by a command of ours; any other directory is the host's to decide
            # on.
            is_own = os.path.basename(each.place).startswith(OURS)
            said = f"{each.fault}: {each.advice}"
            yield f"{said}: {each.fix}" if is_own else f"{said}, if that is right there, or name another place"
        kind = file_system(_existing(answers.state_dir))
    except OSError as error:
        yield f"{error.filename} cannot be looked at: {reason(error)}"
        return
    if kind is None or is_network(kind):
        yield (
            f"{answers.state_dir} is on {kind or 'an unknown file system'}, where locks and appends cannot be relied "
            "on: name a local disk by --state-dir"
        )
    yield from _key(answers)


def making(answers: Answers, missing: tuple[Thing, ...]) -> Iterator[str]:
    """What this process could not make, with the command for somebody who can; nothing where it only plans for root."""
    for maker in dict.fromkeys(thing.maker[0] for thing in missing):
        if not shutil.which(maker, path=TOOL_PATH):
            yield f"{maker} is not installed: install the package {_PACKAGES[maker]}"
    directories = [thing for thing in missing if isinstance(thing, Directory)]
    others = {thing.path: thing.owner for thing in directories if thing.owner != answers.runner.name}
    for thing in directories:
        if os.path.dirname(thing.path) in others:
            yield f"{thing.path} would lie in a directory of {others[os.path.dirname(thing.path)]}: name another place"
    if answers.runner.uid == os.geteuid():
        yield from _unwritables(answers, directories)


def _unwritables(answers: Answers, directories: list[Directory]) -> Iterator[str]:
    for thing in directories:
        if os.path.lexists(os.path.dirname(thing.path)):
            yield from _unwritable(os.path.dirname(thing.path), answers, f"as root: {shell(thing)}")
    home = os.path.dirname(answers.config)
    if os.path.lexists(home):
        yield from _unwritable(home, answers, "name another place for gate.yaml by --config")


def _unwritable(directory: str, answers: Answers, otherwise: str) -> Iterator[str]:
    """Tried with a file that has no name, and is gone at once; that is how state is written."""
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        yield f"{directory} cannot be written to by {answers.runner.name}: {reason(error)}: {otherwise}"


def _existing(path: str) -> str:
    """The nearest path at or above `path`, which is absolute, that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _key(answers: Answers) -> Iterator[str]:
    """A key of an earlier gate's is used on, if it can be."""
    if answers.runner.uid != os.geteuid() or not os.path.lexists(layout.audit_key(answers.state_dir)):
        return
    try:
        audit_key.load(answers.state_dir)
    except StateError as error:
        yield str(error)
