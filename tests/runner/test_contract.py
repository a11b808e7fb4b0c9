"""What a driver may rely on, as seen on real runners; the rehearsal must do the same, so both run the same table."""

from __future__ import annotations

import dataclasses
import itertools
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from executor.rehearsal.session import Outcome
from tests.support.jobs import variable
from tests.support.probe import Call, Probe, is_alive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Harness

    HarnessFactory = Callable[..., Harness]

RUN = "prepare_script get_sources build_script cleanup_file_variables"
WHOLE = f"config prepare {RUN} cleanup"
ONCE = "config prepare cleanup"
THRICE = " ".join([ONCE] * 3)

SUCCESS = Outcome("success", None, None)
SYSTEM_FAILURE = Outcome("failed", "runner_system_failure", None)
TIMEOUT = Outcome("failed", "job_execution_timeout", None)
CANCELED = Outcome("canceled", "job_canceled", None)


def failed(code: int) -> Outcome:
    return Outcome("failed", "script_failure", code)


@dataclasses.dataclass(frozen=True)
class Row:
    """`probe` is what prepare does, `job` changes the job, `cancel` is the text in the log on which it is cancelled."""

    probe: str
    outcome: Outcome
    stages: str
    message: str
    job: dict[str, Any] = dataclasses.field(default_factory=dict)
    cancel: str | None = None


RETRIED = "Will be retried in 3s ..."
UNKNOWN = "unknown Custom executor executable exit code"

ROWS = [
    Row("exit:0", SUCCESS, WHOLE, "Job succeeded"),
    Row("exit:0", failed(7), WHOLE, "ERROR: Job failed: exit status 7", {"script": ["exit 7"]}),
    Row("exit:0", failed(1), WHOLE, "ERROR: Job failed: exit status 1", {"script": ["false", "echo never"]}),
    Row("code:80", failed(80), ONCE, "ERROR: Job failed: exit status 80"),
    Row("code:xx", SYSTEM_FAILURE, THRICE, f"{UNKNOWN} 2; executable execution terminated with: exit status 1"),
    Row("exit:1", failed(1), ONCE, "ERROR: Job failed: exit status 1"),
    Row("exit:2", SYSTEM_FAILURE, THRICE, "ERROR: Preparation failed: exit status 2"),
    Row("exit:33", SYSTEM_FAILURE, THRICE, f"ERROR: Job failed (system failure): {UNKNOWN} 33;"),
    Row("kill", SYSTEM_FAILURE, THRICE, f"{UNKNOWN} -1; executable execution terminated with: signal: killed"),
    Row("bad-json", SYSTEM_FAILURE, " ".join(["config cleanup"] * 3), "error while parsing JSON output: "),
    Row("quiet:0", TIMEOUT, ONCE, "execution took longer than 20s seconds", {"timeout": 20}),
    Row("quiet:2", TIMEOUT, ONCE, "execution took longer than 20s seconds", {"timeout": 20}),
    Row("quiet:1", failed(1), ONCE, "ERROR: Job failed: exit status 1", {"timeout": 20}),
    Row("deaf", TIMEOUT, ONCE, "execution took longer than 20s seconds", {"timeout": 20}),
    Row("talk:2", CANCELED, ONCE, "ERROR: Job failed: canceled", cancel="still waiting"),
    Row("talk:0", CANCELED, ONCE, "ERROR: Job failed: canceled", cancel="still waiting"),
    Row("child:own-stdout", SUCCESS, WHOLE, "Job succeeded"),
    Row("cleanup:33", SUCCESS, WHOLE, "WARNING: Cleanup script failed: "),
    Row(
        "exit:0",
        failed(7),
        WHOLE.replace("build_script", "build_script after_script"),
        "after failed",
        {"script": ["exit 7"], "after_script": ["echo after $CI_JOB_STATUS", "exit 3"]},
    ),
]

SHORT_OF_TIME = [  # prepare_exec_timeout is 8 s: in it a driver starts, with several others, on a busy machine
    Row("quiet:0", SUCCESS, WHOLE, "Job succeeded"),  # the trap: exit 0 on SIGTERM lets the job run
    Row("quiet:1", failed(1), ONCE, "ERROR: Job failed: exit status 1"),
    Row("quiet:2", SYSTEM_FAILURE, THRICE, RETRIED),
    Row("child:holds-stdout", SUCCESS, WHOLE, "Job succeeded"),
]


def submit(runner: Harness, row: Row, project: int = 0) -> int:
    """Each its own project: the probe, other than the gate, has jobs of one project share a tree, and remove it."""
    return runner.submit(variables={"PROBE": row.probe}, project_path=f"grp/app-{project}", **row.job)


def cancel_where_asked(runner: Harness, ids: list[int], rows: list[Row]) -> None:
    for job_id, row in zip(ids, rows, strict=True):
        if row.cancel:
            runner.wait_trace(job_id, row.cancel)
            runner.cancel(job_id)


@pytest.mark.parametrize(("rows", "prepare_exec_timeout"), [(ROWS, None), (SHORT_OF_TIME, 8)], ids=["rows", "short"])
def test_outcome_is_the_one_of_real_runners(
    harness: HarnessFactory, tmp_path: Path, rows: list[Row], prepare_exec_timeout: int | None
) -> None:
    probe = Probe(tmp_path / "probe.jsonl")
    wiring = probe.wiring(prepare_exec_timeout=prepare_exec_timeout, graceful_kill_timeout=5)
    runner = harness(wiring, env=probe.env, concurrent=len(rows))
    ids = [submit(runner, row, project) for project, row in enumerate(rows)]
    cancel_where_asked(runner, ids, rows)
    for job_id, row in zip(ids, rows, strict=True):
        assert (row.probe, runner.wait(job_id)) == (row.probe, row.outcome), runner.trace(job_id)
        assert (row.probe, probe.stages(job_id)) == (row.probe, row.stages)
        assert row.message in runner.trace(job_id)
        assert "cleanup speaks" not in runner.trace(job_id)
        assert all(later - earlier > 2.5 for earlier, later in starts(probe, job_id))
        if row.probe == "child:holds-stdout":
            assert time_in_prepare(probe, job_id) > 1  # prepare_exec_timeout is 8 s, less the start of a Python


def starts(probe: Probe, job_id: int) -> list[tuple[float, float]]:
    return list(itertools.pairwise(call["time"] for call in probe.calls(job_id, "prepare")))


def time_in_prepare(probe: Probe, job_id: int) -> float:
    begin, end = probe.calls(job_id, "prepare")[0]["time"], probe.calls(job_id, "run")[0]["time"]
    return float(end - begin)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_driver_lives_on_unsignalled_when_the_runner_goes(
    harness: HarnessFactory, tmp_path: Path, sig: signal.Signals
) -> None:
    probe = Probe(tmp_path / "probe.jsonl")
    runner = harness(probe.wiring(), env=probe.env)
    job_id = runner.submit(variables={"PROBE": "quiet:2"})
    parent = probe.wait(job_id, lambda lines: "parent" in lines[-1] if lines else False)[-1]["parent"]
    runner.kill_runner(sig)
    orphan = probe.wait(job_id, lambda lines: lines[-1].get("parent", parent) != parent)[-1]
    assert is_alive(orphan["pid"])
    assert not [line for line in probe.lines(job_id) if "signal" in line]
    assert runner.state(job_id) == "running"
    later = runner.submit()
    runner.restart_runner()
    assert runner.wait(later) == SUCCESS
    runner.close()
    assert not is_alive(orphan["pid"])


def test_cancel_in_the_script_still_runs_after_script(harness: HarnessFactory, tmp_path: Path) -> None:
    probe = Probe(tmp_path / "probe.jsonl")
    runner = harness(probe.wiring(), env=probe.env)
    lines = ["while :; do echo working; sleep 0.2; done"]
    job_id = runner.submit(script=lines, after_script=["echo after $CI_JOB_STATUS"])
    runner.wait_trace(job_id, "\nworking")
    runner.cancel(job_id)
    assert runner.wait(job_id) == CANCELED
    assert "after canceled" in runner.trace(job_id)


def test_retry_is_a_new_job_to_the_driver(harness: HarnessFactory, tmp_path: Path) -> None:
    probe = Probe(tmp_path / "probe.jsonl")
    runner = harness(probe.wiring(), env=probe.env)
    first = runner.submit(script=["exit 7"])
    assert runner.wait(first) == failed(7)
    again = runner.retry(first)
    assert runner.wait(again) == failed(7)
    old, new = (probe.calls(job_id, "prepare")[0] for job_id in (first, again))
    assert again != first
    assert new["response"]["token"] != old["response"]["token"]
    for key in ("CI_JOB_ID", "CI_JOB_TOKEN", "CI_JOB_URL", "CI_REPOSITORY_URL"):
        assert new["env"][f"CUSTOM_ENV_{key}"] != old["env"][f"CUSTOM_ENV_{key}"]


AUTHORS_VARIABLES = [
    variable("TARGET", "prod"),
    variable("CI_JOB_ID", "9"),
    variable("DEPLOY_TOKEN", "s3cr3t-value-1", masked=True, raw=True),
    variable("KUBECONFIG", "apiVersion: v1\n$TARGET\n", file=True),
    variable("MADE", "${TARGET}-$CI_COMMIT_REF_NAME-$KUBECONFIG-$$-$NOWHERE-$MADE-$1-$-%"),
    variable("RAW", "$TARGET", raw=True),
    variable("EMPTY", ""),
]
OF_ONE_VERSION = re.compile(r"CUSTOM_ENV_(FF_.*|CI_RUNNER_(VERSION|REVISION|EXECUTABLE_ARCH))")
OF_THE_PROCESS = {"CONFIG_FILE", "LC_CTYPE", "GATE_TEST_RUNNER", "PROBE_LOG", "HOME", "_"}


def whole_job(runner: Harness, probe: Probe) -> list[Call]:
    job_id = runner.submit(
        server_url="http://gitlab.example",
        variables=AUTHORS_VARIABLES,
        script=["cat $KUBECONFIG", "echo $DEPLOY_TOKEN $MADE", "pwd"],
        after_script=["echo after"],
        hooks=[{"name": "pre_get_sources_script", "script": ["echo the hook"]}],
    )
    assert runner.wait(job_id) == SUCCESS
    log = runner.trace(job_id)
    assert "the hook" not in log  # GIT_STRATEGY is none
    assert "[MASKED] prod-main-" in log
    assert "s3cr3t" not in log
    assert "apiVersion: v1\nprod\n" in log
    return probe.calls(job_id)


def comparable(call: Call, scratch: Path) -> Call:
    """Without what may differ: names that are random, and variables of one version or one process."""
    env = {k: v for k, v in call["env"].items() if not OF_ONE_VERSION.fullmatch(k) and k not in OF_THE_PROCESS}
    kept = {k: v for k, v in call.items() if k not in ("env", "response", "pid", "time")}
    text = repr({**kept, "env": sorted(env.items())}).replace(str(scratch), "SCRATCH")
    return {"seen": re.sub(r"(custom-executor|/script)(?!/|')\w+", r"\1X", text).split(", ")}


def test_driver_sees_the_same_of_the_rehearsal_and_the_real_runner(
    both: tuple[HarnessFactory, HarnessFactory], tmp_path: Path
) -> None:
    seen = []
    for half, name in zip(both, ("rehearsal", "gitlab-runner"), strict=True):
        probe = Probe(tmp_path / f"{name}.jsonl")
        runner = half(probe.wiring(environment=["OPERATORS=own"]), env=probe.env)
        calls = whole_job(runner, probe)
        seen.append([comparable(call, tmp_path / f"{name}-0") for call in calls])
        payload = calls[0]["response"]
        assert payload["variables"][-len(AUTHORS_VARIABLES) :] == AUTHORS_VARIABLES
        assert all(call["response"] == payload for call in calls)
    assert seen[0] == seen[1]


FAILING = ["sh -c 'exit 42'", "exit 43", "no-such-command-here", "(exit 44)", "true | sh -c 'exit 45'"]


def test_the_rehearsal_gives_the_exit_codes_of_the_runner_that_is_here(
    both: tuple[HarnessFactory, HarnessFactory], tmp_path: Path
) -> None:
    ended = []
    for half, name in zip(both, ("rehearsal", "gitlab-runner"), strict=True):
        probe = Probe(tmp_path / f"{name}.jsonl")
        runner = half(probe.wiring(), env=probe.env)
        jobs = [runner.submit(script=[line], project_path=f"grp/{n}") for n, line in enumerate(FAILING)]
        ended.append([runner.wait(job).exit_code for job in jobs])
    assert ended[0] == ended[1]


def test_driver_finds_its_files_private(harness: HarnessFactory, tmp_path: Path) -> None:
    probe = Probe(tmp_path / "probe.jsonl")
    runner = harness(probe.wiring(), env=probe.env)
    job_id = runner.submit()
    assert runner.wait(job_id) == SUCCESS
    for call in probe.calls(job_id):
        assert (call["response_mode"], call["response_dir_mode"]) == ("0o600", "0o700")
        assert (call["group_leader"], call["session_leader"], call["stdin"]) == (True, False, "/dev/null")
        assert (call["stdout_is_pipe"], call["one_pipe"]) == (True, False)
        assert (call.get("script_mode", "0o700"), call.get("script_dir_mode", "0o700")) == ("0o700", "0o700")
        assert (call["env"].get("PROBE_JOB_ENV") is None) == (call["stage"] == "config")
    assert not list(tmp_path.rglob("custom-executor*"))
