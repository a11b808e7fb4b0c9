"""`run SCRIPT STAGE`: run one stage script of a released job.

Refuses unless a release exists for this request and for the SHA-256 of this very job response, and the request has not
ended, whatever the runner's config says: prepare is optional there, and can be mis-wired (architecture, invariant 3).
"""

from __future__ import annotations

import os

from executor.response import read_response, sha256
from executor.runner_contract import StageError, build_failure_code, from_config, tell_exit_code
from executor.shell import backend
from gate.clock import boot_id
from gate.store.files import exists, read_json, write_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Release


def run(arguments: list[str]) -> int:
    """Run a stage; returns its exit code for the runner. The runner puts script and stage last.

    Raises:
        StageError: the job is not released.
        BackendError: the script could not be run.
    """
    if len(arguments) < 2:  # noqa: PLR2004
        raise StageError(
            "run takes the script and the stage that gitlab-runner puts last; is run_args right in config.toml?"
        )
    job_dir = from_config("GATE_JOB_DIR")
    released = _release(job_dir)
    work_dir, cache_dir, started = released["work_dir"], released["cache_dir"], os.path.join(job_dir, "started")
    if not exists(started):
        # `started` comes first: from here on it is cleanup that ends the request, whatever becomes of the stage.
        write_once(job_dir, "started", b"")
        backend.make_work(released["backend"], work_dir, cache_dir)
    else:
        backend.complete_work(released["backend"], work_dir)
    code = backend.run_script(released["backend"], arguments[-2], work_dir, cache_dir, released["environment"])
    if code == 0:
        return 0
    tell_exit_code(code)
    return build_failure_code()


def _release(job_dir: str) -> Release:
    """The release of this job.

    Raises:
        StageError: there is none, or it is another job's, or the request has ended.
    """
    released: Release | None = read_json(os.path.join(job_dir, "release.json"))
    if released is None:
        raise StageError("refused: this job was not let through; is prepare_exec wired in the runner's config.toml?")
    if released["key"] != os.path.basename(job_dir) or released["response_sha256"] != sha256(read_response()):
        raise StageError("refused: what was let through is another job than this one")
    if released["boot_id"] != boot_id() or exists(os.path.join(job_dir, "ended.json")):
        raise StageError(
            "refused: this job was let through once and has ended; run it again, so that it is asked for again"
        )
    return released
