"""A driver that writes down what the runner gives it, and in `prepare` behaves as the job's variable PROBE says.

Each call appends one JSON line to the file that PROBE_LOG names, a variable of the runner's own environment.

PROBE is one of: exit:CODE, code:TEXT (into BUILD_EXIT_CODE_FILE, then a build failure), kill (itself, with SIGKILL),
bad-json (from config), talk:CODE and quiet:CODE (waits until SIGTERM, then exits with CODE), deaf (waits, ignores
SIGTERM), child:holds-stdout and child:own-stdout (leaves one behind, exits 0), cleanup:CODE (of cleanup).
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from typing import Any, NoReturn

BUILD_FAILURE = int(os.environ["BUILD_FAILURE_EXIT_CODE"])


def read_job() -> dict[str, Any]:
    with open(os.environ["JOB_RESPONSE_FILE"], encoding="utf-8") as file:
        return dict(json.load(file))


job = read_job()
how, _, value = os.environ.get("CUSTOM_ENV_PROBE", "exit:0").partition(":")


def write_down(**fields: object) -> None:
    common = {"job": int(job["id"]), "stage": sys.argv[1], "pid": os.getpid(), "time": time.monotonic()}
    line = json.dumps({**common, **fields}) + "\n"
    fd = os.open(os.environ["PROBE_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


def mode(path: str) -> str:
    return oct(stat.S_IMODE(os.lstat(path).st_mode))


def surroundings() -> dict[str, object]:
    response = os.environ["JOB_RESPONSE_FILE"]
    return {
        "argv": sys.argv[1:],
        "env": dict(os.environ),
        "cwd": os.getcwd(),
        "group_leader": os.getpgrp() == os.getpid(),
        "session_leader": os.getsid(0) == os.getpid(),
        "stdin": os.readlink("/proc/self/fd/0"),
        "stdout_is_pipe": stat.S_ISFIFO(os.fstat(1).st_mode),
        "one_pipe": os.fstat(1).st_ino == os.fstat(2).st_ino,
        "response": job,
        "response_mode": mode(response),
        "response_dir_mode": mode(os.path.dirname(response)),
        "code_file_exists": os.path.exists(os.environ["BUILD_EXIT_CODE_FILE"]),
        "ignored_signals": [s.name for s in signal.valid_signals() if signal.getsignal(s) == signal.SIG_IGN],
    }


def config() -> int:
    print("config speaks", file=sys.stderr)
    if how == "bad-json":
        print("{not json")
        return 0
    job_env = {"PROBE_JOB_ENV": "from config", "CUSTOM_ENV_TARGET": "from config"}
    print(json.dumps({"driver": {"name": "probe", "version": "1"}, "job_env": job_env}))
    return 0


def on_sigterm(code: int) -> None:
    def end(*_: object) -> None:
        write_down(signal="SIGTERM")
        sys.exit(code)

    signal.signal(signal.SIGTERM, end)


def fail_with(text: str) -> int:
    with open(os.environ["BUILD_EXIT_CODE_FILE"], "w", encoding="utf-8") as file:
        file.write(text)
    return BUILD_FAILURE


def wait(*, talk: bool) -> NoReturn:
    while True:
        if talk:
            print("still waiting", flush=True)
        time.sleep(0.2)
        write_down(parent=os.getppid())


def prepare() -> int:
    print("prepare speaks", flush=True)
    if how == "exit":
        return int(value)
    if how == "code":
        return fail_with(value)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how in ("talk", "quiet"):
        on_sigterm(int(value))
        wait(talk=how == "talk")
    if how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait(talk=False)
    if how == "child":
        out = None if value == "holds-stdout" else subprocess.DEVNULL
        subprocess.Popen(["sleep", "20"], stdout=out, stderr=out)
    return 0


def run() -> int:
    script = sys.argv[2]
    result = subprocess.run(["bash", script], check=False, stdin=subprocess.DEVNULL)
    return fail_with(str(result.returncode)) if result.returncode else 0


def cleanup() -> int:
    print("cleanup speaks")
    print("cleanup complains", file=sys.stderr)
    return int(value) if how == "cleanup" else 0


def main() -> int:
    stage = sys.argv[1]
    seen = surroundings()
    if stage == "run":
        seen |= {"script_mode": mode(sys.argv[2]), "script_dir_mode": mode(os.path.dirname(sys.argv[2]))}
    write_down(**seen)
    return {"config": config, "prepare": prepare, "run": run, "cleanup": cleanup}[stage]()


if __name__ == "__main__":
    sys.exit(main())
