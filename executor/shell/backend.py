"""The `shell` backend: runs the scripts of an approved job on this host, as the job's user.

- A stage's script can be read by R only, so it goes over as a sealed memfd: `bash /proc/self/fd/N`.
- `executor/shell/init.py` stands between the stage and the script. With `isolate: pid_namespace` it is pid 1 of a
  namespace, in the stage's own process group; with `process_group` it is a child subreaper in a session of its own.
- The stage holds one end of a control pipe. Signals go over it as bytes; when it closes, however the stage ended, even
  by SIGKILL, init ends the job. (A death signal would fire when a *thread* of ours ends, and not if we ended too
  early.)
- The script's exit code comes back as words over a pipe, never as an exit status: that may be setpriv's own.
"""

from __future__ import annotations

import fcntl
import os
import stat

from executor.shell import supervise
from gate import TOOL_PATH
from gate.errors import GateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Backend, ToolPath

SHELLS = ("bash", "sh")
_MFD_NOEXEC_SEAL = 0x8  # memfd_create(2), Linux 6.3; with sysctl vm.memfd_noexec=2 no other is allowed
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_AS_ROOT = "run gitlab-runner as root with all capabilities"
_LOADER_VARIABLES = (
    "LD_",
    "GLIBC_",
    "GCONV_PATH",
    "LOCPATH",
)  # ld.so(8): these would act on root's Python and setpriv


class BackendError(GateError):
    """The backend cannot do what it was asked; one plain line for people."""


def check(backend: Backend) -> str | None:
    """Say in one line why scripts cannot be run here as `backend` asks, or None.

    Really tries namespaces and setpriv.
    """
    try:
        harmless = [_tool("true")]
        _tool("bash")
        _check_places(backend)
        _check_limits(backend)
        _try([*_privileges(backend), *harmless], f"cannot run anything as {_user(backend)!r}")
        if _kind(backend) != supervise.GROUP:
            _check_namespace()
    except BackendError as fault:
        return str(fault)
    return None


def _check_namespace() -> None:
    try:
        reason = supervise.why_no_namespace()
    except OSError as fault:
        reason = fault.strerror
    if reason is not None:
        raise BackendError(f"{reason}: {_AS_ROOT}; or set isolate: process_group")


def job_path(backend: ToolPath) -> str:
    """The PATH of a job."""
    return ":".join([*backend.get("path", []), TOOL_PATH])


def _check_limits(backend: Backend) -> None:
    from executor.shell import cgroup

    why = cgroup.check(backend.get("limits", {}))
    if why:
        raise BackendError(why)


def found(backend: ToolPath, name: str) -> str:
    """The path of a program on a job's PATH; empty where there is none."""
    paths = [os.path.join(directory, name) for directory in job_path(backend).split(":")]
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), "")


def _check_places(backend: Backend) -> None:
    from config.host import path_problems, reason

    home = backend.get("named_home")
    if home and not os.path.isdir(home):
        raise BackendError(f"home {home!r} is not a directory: make it, or name another")
    for directory in backend.get("path", []):
        try:
            problems = path_problems(directory, os.geteuid())
        except OSError as fault:
            problems = [f"{directory}: {reason(fault)}"]
        if problems:
            raise BackendError(f"path {directory!r} cannot be a job's: {problems[0]}")


def make_work(backend: Backend, work_dir: str, cache_dir: str) -> None:
    """Make the job's own tree (executor/shell/work_tree.py), and its project's cache directory if there is none yet.

    Raises BackendError if `work_dir` exists or something else than a directory of the job's user is at `cache_dir`.
    """
    from executor.shell import work_tree

    uid = _uid(backend)
    gid = os.getegid() if backend["gid"] is None else backend["gid"]
    try:
        work_tree.make_cache(cache_dir, uid, gid)
        work_tree.make(work_dir, uid, gid, short=backend["isolate"] == "process_group")
    except FileExistsError as fault:
        raise BackendError(f"{fault.filename!r} is left over from an earlier attempt: remove it") from fault
    except OSError as fault:
        raise BackendError(f"cannot make the job's directories: {fault.strerror}: {fault.filename!r}") from fault


def complete_work(backend: Backend, work_dir: str) -> None:
    """Make what the job's tree lacks, before another stage of it.

    Raises BackendError if it cannot be made.
    """
    from executor.shell import work_tree

    try:
        work_tree.complete(work_dir, _uid(backend), os.getegid() if backend["gid"] is None else backend["gid"])
    except OSError as fault:
        raise BackendError(f"cannot make the job's directories: {fault.strerror}: {fault.filename!r}") from fault


def remove_work(work_dir: str) -> None:
    """End what is in the job's cgroup, and remove its tree, whatever the job made of it; nothing there is fine.

    Raises BackendError if something of it is left.
    """
    from executor.shell import cgroup, work_tree

    left = cgroup.end(work_dir) if os.geteuid() == 0 else []
    try:
        work_tree.remove(work_dir)
    except OSError as fault:
        raise BackendError(f"cannot remove {work_dir!r}: {fault.strerror}: {fault.filename!r}") from fault
    if left:
        raise BackendError("; ".join(left))


def run_script(backend: Backend, script: str, work_dir: str, cache_dir: str, env: dict[str, str]) -> int:
    """Run a stage's script to its end and return its exit code, 0 to 255 (128+n: killed by signal n).

    Nothing that the script started is left when this returns. SIGTERM, SIGINT and SIGHUP reach the script as SIGTERM
    meanwhile, and do not end this process. Call it from the main thread. Raises BackendError if the script could not
    be run, or its end is not known.
    """
    source = _open_script(script)
    try:
        shell = _interpreter(source, script)
        copy = _sealed_copy(source, script)
    finally:
        os.close(source)
    try:
        _let_job_reopen_output(_uid(backend))
        command = [*_privileges(backend), shell, f"/proc/self/fd/{copy}"]
        scrubbed = _environment(backend, shell, work_dir, env)
        groups = ":".join(_cgroups(backend, work_dir))
        places = [work_dir, cache_dir, backend.get("named_home") or "", _covered_home(backend), groups]
        said, status = supervise.run_under_init(_kind(backend), copy, places, command, scrubbed)
    except (OSError, ValueError) as fault:
        raise BackendError(f"cannot run the stage script: {fault}") from fault
    finally:
        os.close(copy)
    return _exit_code(said, status)


def _open_script(script: str) -> int:
    try:
        source = os.open(script, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as fault:
        raise BackendError(f"cannot read the stage script {script!r}: {fault.strerror}") from fault
    if stat.S_ISREG(os.fstat(source).st_mode):
        return source
    os.close(source)
    raise BackendError(f"the stage script {script!r} is not a regular file")


def _interpreter(source: int, script: str) -> str:
    first = os.pread(source, 256, 0).partition(b"\n")[0].decode(errors="backslashreplace")
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    if words and os.path.basename(words[0]) == "env":
        words = words[1:]
    if len(words) == 1 and os.path.basename(words[0]) in SHELLS:
        return _tool(os.path.basename(words[0]))
    raise BackendError(
        f'{script!r} starts with {first!r}: only {" and ".join(SHELLS)} scripts work, set shell = "bash"'
    )


def _sealed_copy(source: int, script: str) -> int:
    # Sealed, because the job could open /proc/self/fd/N for writing and change what its shell has not read yet.
    try:
        copy = _memfd()
        while os.sendfile(copy, source, None, 1 << 20):
            pass
        os.fchmod(copy, 0o444)
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as fault:
        raise BackendError(f"cannot copy the stage script {script!r} to memory: {fault.strerror}") from fault
    return copy


def _memfd() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("script", flags | _MFD_NOEXEC_SEAL)
    except OSError:  # EINVAL before Linux 6.3
        return os.memfd_create("script", flags)


def _let_job_reopen_output(uid: int) -> None:
    # `echo … >/dev/stderr` opens the runner's pipe again, as the job's user: without this it is denied. Writing only.
    for descriptor in (1, 2):
        found = os.fstat(descriptor)
        if stat.S_ISFIFO(found.st_mode) and found.st_uid == os.geteuid() != uid:
            os.fchmod(descriptor, 0o622)


def _tool(name: str) -> str:
    path = found({}, name)
    if path:
        return path
    package = {"setpriv": "util-linux (or setpriv)", "true": "coreutils"}.get(name, name)
    raise BackendError(f"{name!r} is not in {TOOL_PATH}: install {package}")


def _uid(backend: Backend) -> int:
    own = os.geteuid()
    uid = backend["uid"]
    if uid is None and backend["run_as"] is None:
        uid = own  # no run_as: R itself
    if uid is None:
        raise BackendError(f"run_as {backend['run_as']!r} is not a user of this host: add it, or name another")
    if uid == own and not backend["allow_same_user"]:
        raise BackendError(f"the job would run as uid {uid}, like the gate itself: name another user in run_as")
    if uid != own != 0:
        raise BackendError(f"uid {own} cannot run anything as {_user(backend)!r}: run gitlab-runner as root")
    return int(uid)


def _user(backend: Backend) -> str:
    if backend["run_as"] is not None:
        return str(backend["run_as"])
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _privileges(backend: Backend) -> list[str]:
    uid = _uid(backend)
    is_held = backend.get("no_new_privileges", True)
    setpriv = [_tool("setpriv"), *(["--no-new-privs"] if is_held else [])]
    if uid == os.geteuid():
        return [*setpriv, "--"]
    # --init-groups would ask for the groups of whichever name the uid is found under first; these are the name's own.
    name, gid = backend["run_as"], backend["gid"]
    assert name is not None  # noqa: S101  another uid than our own has a name
    assert gid is not None  # noqa: S101
    groups = ",".join(map(str, os.getgrouplist(name, gid)))
    switch = [
        f"--reuid={uid}",
        f"--regid={backend['gid']}",
        f"--groups={groups}",
        "--inh-caps=-all",
        *(["--bounding-set=-all"] if is_held else []),  # what sudo gives could never be more than this set
    ]
    return [*setpriv, *switch, "--"]


def _kind(backend: Backend) -> str:
    """How init stands apart; a fork of this process only where its job can in no way read what that has."""
    if backend["isolate"] == "process_group":
        return supervise.GROUP
    if backend["isolate"] != "pid_namespace":
        raise BackendError(f"isolate {backend['isolate']!r} is neither pid_namespace nor process_group")
    may_gain = not backend.get("no_new_privileges", True)
    return supervise.PROGRAM if may_gain or _uid(backend) == os.geteuid() else supervise.FORK


def _environment(backend: Backend, shell: str, work_dir: str, env: dict[str, str]) -> dict[str, str]:
    for name in (*env, *backend.get("environment", {})):
        if name.startswith(_LOADER_VARIABLES):
            raise BackendError(f"{name!r} cannot be set for a job: it would act on the gate's own tools")
    user = _user(backend)
    own = {"PATH": job_path(backend), "USER": user, "LOGNAME": user, "SHELL": shell, "LANG": "C.UTF-8"}
    own |= _home(backend, work_dir) | {"TMPDIR": _tmp(backend, work_dir)}
    return {**backend.get("environment", {}), **own, **env}


def _home(backend: Backend, work_dir: str) -> dict[str, str]:
    """HOME; where that cannot be written to, also where programs keep what they do not need to keep."""
    made, named = os.path.join(work_dir, "home"), backend.get("named_home")
    if not named:
        return {"HOME": _covered_home(backend) or made}
    caches = {"XDG_CACHE_HOME": os.path.join(made, "cache"), "XDG_STATE_HOME": os.path.join(made, "state")}
    return {"HOME": named, **caches}


def _covered_home(backend: Backend) -> str:
    """The home that the user database gives the job's user, if the job sees one of its own there; else empty.

    One that its user cannot write to, such as / or /bin, holds nothing of an earlier job, and is left alone.
    """
    uid, home = _uid(backend), backend["home"]
    if backend["isolate"] != "pid_namespace" or uid == os.geteuid():
        return ""
    try:
        found = os.lstat(home)
    except OSError:
        return ""
    return str(home) if stat.S_ISDIR(found.st_mode) and found.st_uid == uid else ""


def _tmp(backend: Backend, work_dir: str) -> str:
    """TMPDIR, short enough for the names of sockets in it."""
    from executor.shell import work_tree

    if backend["isolate"] == "pid_namespace":
        return "/tmp"  # noqa: S108  the job's own, see executor/shell/view.py
    link = work_tree.short_tmp(work_dir)
    return link if os.path.islink(link) else os.path.join(work_dir, "tmp")  # a tree of an older version has none


def _cgroups(backend: Backend, work_dir: str) -> list[str]:
    from executor.shell import cgroup

    try:
        return cgroup.make(work_dir, backend.get("limits", {})) if os.geteuid() == 0 else []
    except cgroup.CgroupError as fault:
        raise BackendError(str(fault)) from fault


def _exit_code(said: bytes, status: int) -> int:
    before, _, report = said.rpartition(b"\0")
    word, _, rest = report.partition(b" ")
    if word == b"exit":
        return int(rest)
    if word == b"fault":
        raise BackendError(f"cannot run the stage script: {supervise.last_line(rest)}")
    reason = supervise.last_line(before + report) or f"its init ended with wait status {status}"
    raise BackendError(f"the stage script could not be started, or its end is unknown: {reason}")


def _try(argv: list[str], what_fails: str) -> None:
    try:
        reason = supervise.reason_of_failure(argv)
    except OSError as fault:
        reason = str(fault)
    if reason is not None:
        raise BackendError(f"{what_fails}: {reason}: {_AS_ROOT}")
