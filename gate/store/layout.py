"""Where everything lies under state_dir, and with which owner and mode (architecture "On disk")."""

from __future__ import annotations

import os
import stat

from audit.descriptor import held_directory
from gate.model.facts import project_key_of
from gate.store import bell, beneath, reserve
from gate.store.files import StateError, make_directory, read_file, rename_without_replacing, write_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Backend, Facts, PageSettings, Policy

SECRET_BYTES = 32


def jobs(state_dir: str) -> str:
    """The directory of all requests."""
    return os.path.join(state_dir, "jobs")


def job(state_dir: str, key: str) -> str:
    """The directory of one request."""
    return os.path.join(state_dir, "jobs", key)


def votes(job_dir: str) -> str:
    """The directory of a request's votes."""
    return os.path.join(job_dir, "votes")


def archive(state_dir: str) -> str:
    """The names of ended requests whose directories are gone, by month."""
    return os.path.join(state_dir, "archive")


def removing(state_dir: str) -> str:
    """Where a request's directory goes before it is emptied."""
    return os.path.join(state_dir, "archive", "removing")


def drops(state_dir: str) -> str:
    """The directory that holds one drop directory for each person."""
    return os.path.join(state_dir, "drop")


def signed_drops(state_dir: str) -> str:
    """The directory for signed drops, of all people."""
    return os.path.join(state_dir, "drop", "signed")


def turned_away(state_dir: str) -> str:
    """Where drops go that do not count."""
    return os.path.join(state_dir, "turned-away")


def compiled(state_dir: str) -> str:
    """What is kept of gate.yaml, so that the next stage need not make it again (config/compiled.py names it, too)."""
    return os.path.join(state_dir, "compiled")


def page(state_dir: str) -> str:
    """The page's own directory: its secret, its accounts, its index of the audit log."""
    return os.path.join(state_dir, "page")


def accounts(page_dir: str) -> str:
    """The passwords of people who log in to the page, in its own directory."""
    return os.path.join(page_dir, "accounts")


def audit(state_dir: str) -> str:
    """The directory of the audit log."""
    return os.path.join(state_dir, "audit")


def audit_key(state_dir: str) -> str:
    """The key that checkpoints of the audit log are signed with."""
    return os.path.join(state_dir, "audit.key")


def works(state_dir: str) -> str:
    """The directory of all jobs' trees."""
    return os.path.join(state_dir, "work")


def work(state_dir: str, key: str) -> str:
    """The job's own tree: made after the release, removed by cleanup."""
    return os.path.join(works(state_dir), key)


def caches(state_dir: str) -> str:
    """The directory of all projects' caches."""
    return os.path.join(state_dir, "cache")


def cache(state_dir: str, project_key: str) -> str:
    """The cache that the jobs of one project share."""
    return os.path.join(caches(state_dir), project_key)


def cache_dir(policy: Policy, backend: Backend, facts: Facts) -> str:
    """The project's cache; where a rule names its own user, one of that user's, who could not use the other."""
    own = backend["run_as"] if backend["run_as"] != policy["backend"]["run_as"] else None
    return cache(policy["state_dir"], project_key_of(facts) + (f"@{own}" if own else ""))


def directories(policy: Policy) -> list[tuple[str, int, int]]:
    """R's own directories from the top down, each with its mode, and its group where that matters, otherwise -1."""
    state_dir, gid = policy["state_dir"], policy["approvers_gid"]
    shared = (0o700, -1) if gid is None else (0o2750, gid)
    return [
        (state_dir, 0o755, -1),
        (jobs(state_dir), *shared),
        (audit(state_dir), *shared),
        *(
            (path, 0o700, -1)
            for path in (turned_away(state_dir), archive(state_dir), removing(state_dir), compiled(state_dir))
        ),
        (drops(state_dir), 0o755, -1),
        *([(signed_drops(state_dir), 0o1770, gid)] if gid is not None else []),
        (works(state_dir), 0o711, -1),
        (caches(state_dir), 0o711, -1),
    ]


def make(policy: Policy) -> list[str]:
    """Make what is missing under state_dir; returns a line for each person, or the page, that cannot be served.

    Raises:
        StateError: something cannot be made, or is there already and is not ours.
    """
    state_dir = policy["state_dir"]
    for path, mode, gid in directories(policy):
        make_directory(path, mode, gid=gid)
    signed = signed_drops(state_dir)
    if policy["approvers_gid"] is None and os.path.lexists(signed):
        make_directory(signed, 0o700)  # of an approvers_group that is gone: no drop shall lie there unread
    write_once(state_dir, "secret", os.urandom(SECRET_BYTES), 0o600)
    reserve.fill(state_dir)
    lines = make_drops(policy)
    page_of = policy.get("page")
    why = _make_page(page(state_dir), page_of) if page_of else None
    return [*lines, why] if why else lines


def make_drops(policy: Policy) -> list[str]:
    """Make each person's drop directory that is missing.

    Returns a line for each person whose drops cannot be served.
    """
    lines = [make_drop(policy["state_dir"], person, known["uid"]) for person, known in policy["people"].items()]
    return [line for line in lines if line]


def make_job(policy: Policy, key: str) -> str:
    """Make a request's directory and its votes/, where the page's user may leave votes, too; returns its path."""
    path, gid, page_of = job(policy["state_dir"], key), policy["approvers_gid"], policy.get("page")
    make_directory(path, 0o700 if gid is None else 0o2750, gid=-1 if gid is None else gid)
    if page_of and page_of["uid"] != os.geteuid():
        make_directory(votes(path), 0o1770, gid=page_of["gid"])
    else:
        make_directory(votes(path), 0o700)
    return path


def make_bell(policy: Policy, job_dir: str) -> None:
    """Make a request's bell, which the page's user may ring, too.

    Raises:
        StateError: it cannot be made.
    """
    page_of = policy.get("page")
    bell.make(job_dir, page_of["gid"] if page_of and page_of["uid"] != os.geteuid() else -1)


def secret(state_dir: str) -> bytes:
    """The key of keyed hashes.

    Raises:
        StateError: it cannot be read, or somebody else could have.
    """
    path = os.path.join(state_dir, "secret")
    key, found = read_file(path, SECRET_BYTES)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or len(key) != SECRET_BYTES:
        raise StateError(f"{path} must be {SECRET_BYTES} bytes, of uid {os.geteuid()} and mode 0600")
    return key


def page_settings(policy: Policy) -> PageSettings:
    """The settings of the page, for who runs only where there is one."""
    found = policy["page"]
    assert found is not None  # noqa: S101
    return found


def own_page(policy: Policy) -> str:
    """The path of `page/`, for the page's own user.

    Raises:
        StateError: it is not there, or not the page user's alone; the message has the command that makes it so.
    """
    path, page_of = page(policy["state_dir"]), page_settings(policy)
    advice = f"install -d -o {page_of['user']} -g {page_of['gid']} -m 0700 {path}"
    try:
        found = os.lstat(path)
    except OSError as error:
        raise StateError(
            f"{path} cannot be used ({error.strerror}): the first job makes it where the runner is root, or: {advice}"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StateError(f"{path} must be a directory of {page_of['user']}'s, mode 0700: {advice}")
    return path


def _make_page(path: str, page_of: PageSettings) -> str | None:
    """The page's own; never repairs an existing one, which would be to write where the page's user can plant links.

    A runner that is not root cannot make it for another user: `gate page` says then how the operator can.
    """
    if os.geteuid() not in (0, page_of["uid"]):
        return None
    try:
        _make_for(path, page_of["uid"], page_of["gid"])
    except StateError as error:
        return f"there is no page: {error}"
    return None


def make_drop(state_dir: str, person: str, uid: int | None) -> str | None:
    """Make a person's drop directory; never changes an existing one: what is wrong with it is said where it is read."""
    own = os.geteuid()
    if uid is None:
        return None
    if own not in (0, uid):
        return f"{person} cannot answer by drop: a gate that is not root serves no drop directory but its own uid's"
    try:
        _make_for(os.path.join(drops(state_dir), person), uid)
    except StateError as error:
        return f"{person} cannot answer by drop: {error}"
    return None


def _make_for(path: str, uid: int, gid: int = -1) -> None:
    """Make a directory that is somebody else's, unless something has that name.

    Under another name first: whatever comes in between, none is left that is not theirs yet, and would stay so.
    """
    if _is_taken(path):
        return
    try:
        _make_whole(os.path.dirname(path), os.path.basename(path), uid, gid)
    except FileExistsError:
        return
    except OSError as error:
        raise StateError(f"cannot make {path}: {error.strerror}") from error


def _is_taken(path: str) -> bool:
    """Whether something has that name, whatever is wrong with it; a file system that is mounted there is not asked."""
    try:
        with held_directory(os.path.dirname(path), os.O_PATH) as parent:
            beneath.stat_beneath(parent, os.path.basename(path))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _make_whole(parent: str, name: str, uid: int, gid: int) -> None:
    fresh = f".{name}.{os.urandom(8).hex()}"
    with held_directory(parent) as directory:
        os.mkdir(fresh, stat.S_IRWXU, dir_fd=directory)
        try:
            # The umask may have taken bits away; the mode is set before the owner, who could be at work at once.
            os.chmod(fresh, stat.S_IRWXU, dir_fd=directory)
            if (uid, gid) != (os.geteuid(), -1):
                os.chown(fresh, uid, gid, dir_fd=directory)
            rename_without_replacing(directory, fresh, directory, name)
        except OSError:
            os.rmdir(fresh, dir_fd=directory)
            raise
