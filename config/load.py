"""gate.yaml -> policy, or all of its faults.

A stage goes by what was kept of the same bytes (config.compiled), which saves it YAML and the schema, and nothing else:
what the host says of the names is asked on each load. On any doubt, and for each fault, the whole load runs.

To write this file is to decide who approves, so it must be R's (the uid that the runner, and so the gate, runs as)
or root's, writable by no one else, in directories of which the same is true. That is looked at on every load.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys

from config import compiled, notice, policy, schema, semantics
from config.accounts import SystemHost, is_older_login, look_up
from config.document import Document
from config.faults import ConfigError, Fault
from config.host import path_problems, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from config.accounts import Host
    from config.document import Yaml
    from config.shapes import Aside, Policy

__all__ = ["ConfigError", "Fault", "load_for_stage", "load_policy", "load_policy_as_reader", "policy_from"]

MAX_BYTES = 1024 * 1024
_SYSTEM = SystemHost()
_ADVICE = {
    errno.ENOENT: "write it, or name another with --config or GATE_CONFIG",
    errno.ELOOP: "it is a symbolic link, name the file itself",
    errno.EACCES: "have its operator add you to the approvers' group",
}


def load_policy(path: str, *, owner: int | None = None, host: Host = _SYSTEM) -> tuple[Policy, str]:
    """Return the policy in the file at `path`, and the SHA-256 (hex) of the very bytes that it was made from.

    `owner` is R. None means the caller's own effective uid, which is right for every stage, because they run as R, and
    fails closed for anybody else. It is deliberately not "the owner of what the file calls its state directory": then a
    file of anybody's would vouch for itself. People's commands, which run as others, use `load_policy_as_reader`.

    The directories are looked at before the file is opened, from / down, so no one else can exchange one in between.
    The file is opened once; owner, mode, hash and policy are those of the one descriptor.

    Raises:
        ConfigError: with every fault that was found.
    """
    runner = os.geteuid() if owner is None else owner
    found, digest = load_file(path, runner, host=host)
    return _with_on_event(found, path, runner), digest


def load_for_stage(path: str, code: str, *, host: Host = _SYSTEM) -> tuple[Policy, str, compiled.Compiled | None]:
    """Return what `load_policy` does for R, by what is kept of these bytes; and what to keep of them, where nothing is.

    `code` is `compiled.code_digest()` as it was before this module was imported. Where it is another by now, an upgrade
    is under way, and it is unknown which version's code this is: then nothing is believed, and nothing kept.

    Raises:
        ConfigError: with every fault that was found.
    """
    runner = os.geteuid()
    data = _trusted_bytes(path, runner)
    key = compiled.key_of(data, code) if code == compiled.code_digest() else ""
    kept = compiled.find(data, key, runner)
    found = _by_kept(kept, path, runner, host) if kept else None
    fresh = None
    if found is None:
        value, found = _whole(data, path, runner, host)
        # Asked again: the parser and the schema were read only now.
        is_new = not kept and key and code == compiled.code_digest()
        fresh = compiled.of(key, value) if is_new else None
    return _with_on_event(found, path, runner), hashlib.sha256(data).hexdigest(), fresh


def _by_kept(value: Yaml, file: str, runner_uid: int, host: Host) -> Policy | None:
    """The policy for values that were kept.

    None where they have any fault now: the whole load finds it, with its place.
    """
    try:
        accounts = look_up(value, host, runner_uid)
        if any(True for _ in semantics.check(Document(file, value), value, accounts)):
            return None
        return policy.make(schema.with_defaults(value), accounts) | {"asides": []}
    except Exception:  # noqa: BLE001  whatever it is, it is said by the whole load, or is not there
        return None


def _with_on_event(found: Policy, path: str, runner: int) -> Policy:
    # Others may not even see where the command lies, and do not run it.
    for command in found["on_event"][:1] if runner == os.geteuid() else []:
        exposed = notice.exposed(command, runner)
        if exposed:
            raise ConfigError([Fault(path, 0, 0, problem) for problem in exposed])
        why = notice.unusable(command)
        found["asides"] += [_aside(Fault(path, 0, 0, why, path=("on_event",)))] if why else []
    return found


def load_file(path: str, owner: int, *, host: Host = _SYSTEM) -> tuple[Policy, str]:
    """Return what `load_policy` does, without a look at the command of `on_event`, which `gate check` reports apart.

    Raises:
        ConfigError: with every fault that was found.
    """
    data = _trusted_bytes(path, owner)
    return policy_from(data, path, runner_uid=owner, host=host), hashlib.sha256(data).hexdigest()


def load_policy_as_reader(path: str, *, host: Host = _SYSTEM) -> tuple[Policy, str]:
    """Return what `load_policy` does, for a caller who is not R and cannot know who is, such as `gate approve`.

    R is taken to be the owner of the file's state directory, and the file must then be R's or root's as ever. This
    says that file and state belong together and that no third user had a hand in it, not that the gate is a genuine
    one: that lies with the caller, who chose `path`. So it is never for deciding or releasing anything.

    Raises:
        ConfigError: with every fault that was found.
    """
    return load_policy(path, owner=state_owner(path), host=host)


def policy_from(data: bytes, file: str, *, runner_uid: int, host: Host = _SYSTEM) -> Policy:
    """Return the policy in `data`; `file` is what its faults call it, `runner_uid` is R.

    What has gone from the host, and concerns only some people or jobs, is in the policy's `asides`, and off.

    Raises:
        ConfigError: with every fault that was found, if one of them stops the gate.
    """
    return _whole(data, file, runner_uid, host)[1]


def _whole(data: bytes, file: str, runner_uid: int, host: Host) -> tuple[Yaml, Policy]:
    """The values in `data`, faultless, and the policy that they come to."""
    document = _parsed(data, file)
    faults, value = schema.check(document)
    if not isinstance(value, dict):
        raise ConfigError(document.faults + _elsewhere(faults, document.faults))
    accounts = look_up(value, host, runner_uid)
    faults += semantics.check(document, value, accounts)
    if document.faults or not all(fault.aside for fault in faults):
        raise ConfigError(document.faults + _elsewhere(faults, document.faults))
    made = policy.make(schema.with_defaults(value), accounts) | {"asides": [_aside(fault) for fault in faults]}
    return value, made


def _parsed(data: bytes, file: str) -> Document:
    if sys.flags.no_site and "site" not in sys.modules:  # a stage: PyYAML and jsonschema are wanted after all
        import site

        site.main()
    from config.parser import parse

    return parse(data, file)


def _aside(fault: Fault) -> Aside:
    """Return a fault that stops no job, for the policy: `of` is the section of gate.yaml that it is about."""
    return {"of": str(fault.path[0]), "message": str(fault), "fix": fault.fix}


def _elsewhere(faults: list[Fault], first: list[Fault]) -> list[Fault]:
    """Return the faults that are not at the place of one in `first`: what follows from an alias is not told again."""
    places = {(fault.line, fault.column) for fault in first}
    return [fault for fault in faults if (fault.line, fault.column) not in places]


def state_owner(path: str) -> int:
    """Return the uid that the state directory named in `path` belongs to.

    Where the file does not get so far as to name one, the file's own owner: its faults are for `load_policy` to tell.
    """
    data, state = _read(path)
    document, state_dir = _state_dir(data, path)
    if state_dir is None:
        return state.st_uid
    try:
        return os.lstat(state_dir).st_uid
    except FileNotFoundError:
        return state.st_uid  # a gate that no job has come to yet: there is nothing there to read, or to answer
    except OSError as error:
        message = f"{reason(error)}: the state directory is made when the gate is set up; ask its operator"
        raise ConfigError([document.fault(("state_dir",), message)]) from None


def state_dir_of(path: str) -> str | None:
    """Return the state directory that the file at `path` names, no matter who wrote it; None where it is unknown."""
    try:
        return _state_dir(_read(path)[0], path)[1]
    except ConfigError:
        return None


def _state_dir(data: bytes, path: str) -> tuple[Document, str | None]:
    document = _parsed(data, path)
    value = schema.check(document)[1]
    return document, value.get("state_dir") if isinstance(value, dict) else None


def _trusted_bytes(path: str, owner: int) -> bytes:
    try:
        problems = path_problems(os.path.dirname(path) or ".", owner)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    data, state = _read(path)
    if state.st_uid not in (0, owner):
        problems.append(
            f"belongs to uid {state.st_uid}, and the gate runs as uid {owner}: chown it to {owner}, or to root"
        )
    if state.st_mode & 0o022:
        mode = stat.S_IMODE(state.st_mode)
        problems.append(f"can be written by others than its owner (mode {mode:04o}): chmod go-w it")
    if problems:
        raise ConfigError([Fault(path, 0, 0, problem) for problem in problems])
    return data


def _read(path: str) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a regular file and its status, both from one descriptor."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError([Fault(path, 0, 0, "not a regular file: name one")])
        data = _bytes(fd)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(fd)
    if len(data) > MAX_BYTES:
        raise ConfigError([Fault(path, 0, 0, f"larger than {MAX_BYTES} bytes: name the right file")])
    return data, state


def _bytes(fd: int) -> bytes:
    """Return what is in the file, one byte more than `MAX_BYTES` at most."""
    with open(fd, "rb", closefd=False) as file:
        return file.read(MAX_BYTES + 1)


def _is_older_login(path: str) -> bool:
    try:
        return is_older_login(os.stat(path).st_gid, _SYSTEM)
    except OSError:  # it lies where the caller cannot look
        return False


def _unreadable(path: str, error: OSError | ValueError) -> ConfigError:
    if isinstance(error, ValueError):
        return ConfigError([Fault(path, 0, 0, "no path that a file can have: name another")])
    advice = _ADVICE.get(error.errno or 0, "name a file that can be read")
    if error.errno == errno.EACCES and _is_older_login(path):
        advice = "you were added to its group after you logged in: log out and in"
    return ConfigError([Fault(path, 0, 0, f"{reason(error)}: {advice}")])
