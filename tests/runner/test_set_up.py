"""From nothing to a gated job: a host that `gate init` has set up, and a real gitlab-runner on the block that it printed."""

from __future__ import annotations

import json
import subprocess
import uuid

import pytest

from tests.support.fake_gitlab import FakeGitLab
from tests.support.host_namespace import ENVIRONMENT, PrivateHost
from tests.support.runner import MARK, MISSING, end_marked, find_runner
from tests.support.set_up import TOLD, done


def test_a_job_waits_for_an_approver_and_runs_as_the_job_user() -> None:
    binary, mark = find_runner(), uuid.uuid4().hex
    if binary is None:
        pytest.skip(MISSING)
    with PrivateHost() as host, FakeGitLab() as gitlab:
        block = json.loads(done(host.gate(*TOLD, "--json")))["runner_block"]
        block = block.replace('"https://gitlab.example.com"', f'"{gitlab.url}"')
        host.at("/etc/config.toml").write_text(f"concurrent = 2\ncheck_interval = 1\n{block}\n", encoding="utf-8")
        command = host.command([binary, "run", "-c", "/etc/config.toml"])
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**ENVIRONMENT, MARK: mark}) as runner:
            try:
                # Each job of a fake GitLab, which has no repository, sets GIT_STRATEGY.
                refused = gitlab.wait(gitlab.submit(script=["id -un"]))
                assert "denies jobs that set GIT_STRATEGY" in refused.trace
                policy = host.at("/etc/gitlab-runner-gate/gate.yaml")
                policy.write_text(
                    policy.read_text().replace("deny: [code]", "deny: [shell, loader, git]"), encoding="utf-8"
                )
                job = gitlab.submit(script=["id -un"])
                gitlab.wait_trace(job, f"{job}.approve")
                assert "is approved" in done(host.gate("approve", str(job), user="bob"))
                ended = gitlab.wait(job)
            finally:
                runner.kill()
                end_marked(mark)
        assert (ended.state, "\ngitlab-job\n" in ended.trace) == ("success", True), ended.trace
        assert done(host.gate("audit", "verify"))
