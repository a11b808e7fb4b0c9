"""What the checks look at: gate.yaml, config.toml, the runner's unit, and the host, as they were found."""

import os
import shlex
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from config.accounts import Host, SystemHost
from config.faults import ConfigError
from executor.checks.runner_unit import Unit
from executor.checks.system import HostSystem, System
from executor.runner_config import Runner, RunnerConfig

if TYPE_CHECKING:
    from gate.shapes import Policy


@dataclass(frozen=True)
class GateYaml:
    """gate.yaml as it was loaded: its policy and the SHA-256 of its bytes, or its faults."""

    path: str
    policy: "Policy | None" = None
    digest: str = ""
    faults: ConfigError | None = None


@dataclass(frozen=True)
class Context:
    """All that a check is given.

    Attributes:
        runner_uid: R, the uid that the runner, and so the gate, runs as.
        own_uid: who looks.
        executor: the path of this installation's gate-executor.
        gate: how a shell starts this installation's `gate`.
        code: the directories that this program was loaded from.
        waiting: how many jobs wait now; None where that is unknown.
    """

    gate_yaml: GateYaml
    runner_config: RunnerConfig
    runner_uid: int
    own_uid: int
    unit: Unit | None = None
    executor: str = "/opt/gitlab-runner-gate/bin/gate-executor"
    gate: str = "gate"
    code: tuple[str, ...] = ()
    waiting: int | None = None
    host: Host = field(default_factory=SystemHost)
    system: System = field(default_factory=HostSystem)

    @cached_property
    def runners(self) -> tuple[Runner, ...]:
        """The runners that go by this gate.yaml; where there is none, those that go by any."""
        return self.own_runners or self.runner_config.gated()

    @property
    def own_runners(self) -> tuple[Runner, ...]:
        """The runners of config.toml that go by this gate.yaml."""
        path = os.path.realpath(self.gate_yaml.path)
        return tuple(each for each in self.runner_config.gated() if os.path.realpath(each.gate_yaml) == path)

    @property
    def policy(self) -> "Policy":
        """What gate.yaml comes to, for a check that needs it."""
        assert self.gate_yaml.policy is not None  # noqa: S101  Need.POLICY
        return self.gate_yaml.policy

    @property
    def runner_program(self) -> str:
        """The gitlab-runner that the unit starts."""
        return self.unit.command[0] if self.unit and self.unit.command else "gitlab-runner"

    @property
    def runner_user(self) -> str:
        """R's name, or its number where it has none."""
        return self.name_of(self.runner_uid)

    def name_of(self, uid: int) -> str:
        """The name of the user with this uid, or the number."""
        known = self.host.user_of_uid(uid)
        return known.name if known else str(uid)

    @property
    def as_root(self) -> str:
        """The command that looks at what only root can see."""
        return f"sudo {self.again}"

    @property
    def again(self) -> str:
        """The command that looks again."""
        return f"{self.with_config(self.gate_yaml.path)} check"

    def with_config(self, gate_yaml: str) -> str:
        """Return the start of a `gate` command that goes by another gate.yaml than the usual one, as it may be."""
        return f"{self.gate} --config {shlex.quote(gate_yaml)}"
