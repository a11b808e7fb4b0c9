"""What a job needs of the host is known from its job response: refused, warned of, or passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from executor.shell import backend, needs
from tests.support.parts import part

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = {"name": "script", "script": ["true"]}
NONE = {"key": "GIT_STRATEGY", "value": "none"}
OLD, NEW = "17.9.3", "19.3.0"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing in it; and a config.toml."""
    monkeypatch.setattr(backend, "TOOL_PATH", str(tmp_path))
    monkeypatch.setattr(needs, "_config_toml", lambda: str(tmp_path / "config.toml"))
    return tmp_path


def program(directory: Path, name: str) -> None:
    (directory / name).write_text("")
    (directory / name).chmod(0o755)


@pytest.mark.parametrize(
    "response",
    [
        {"run": [{"name": "a", "script": "true"}]},
        {"run": "- name: a"},
        {"steps": [SCRIPT, {"name": "script", "script": ["step-runner ci"]}]},
    ],
)
def test_run_steps_need_a_step_runner(empty: Path, response: Any) -> None:
    assert "no step-runner in" in needs.refusal(response, part({}), None)
    program(empty, "step-runner")
    assert needs.refusal(response, part({}), None) == ""


@pytest.mark.parametrize(
    ("response", "runner", "said"),
    [
        ({"artifacts": [{"paths": ["out/"]}], "variables": [NONE]}, OLD, ["no gitlab-runner in"]),
        ({"cache": [{"key": "x"}], "variables": [NONE]}, OLD, ["no gitlab-runner in"]),
        ({"dependencies": [{"id": 7}], "variables": [NONE]}, OLD, ["no gitlab-runner in"]),
        (
            {"artifacts": [{"paths": ["out/"]}], "variables": [NONE, {"key": "CI_RUNNER_VERSION", "value": OLD}]},
            NEW,
            [],
        ),
        ({"artifacts": [], "cache": None, "variables": [NONE]}, OLD, []),
        ({"variables": []}, OLD, ["no git in"]),
        ({"variables": [NONE, {"key": "GIT_STRATEGY", "value": "fetch"}]}, OLD, ["no git in"]),
        ({"variables": [NONE]}, OLD, []),
        ({"variables": "odd", "cache": [1]}, "odd", ["no gitlab-runner in", "no git in"]),
    ],
)
def test_what_is_lacking_is_warned_of(
    empty: Path, monkeypatch: pytest.MonkeyPatch, response: Any, runner: str, said: list[str]
) -> None:
    monkeypatch.setenv("CUSTOM_ENV_CI_RUNNER_VERSION", runner)
    found = needs.warnings(response, part({}))
    assert [line[: len(start)] for line, start in zip(found, said, strict=True)] == said
    for name in ("git", "gitlab-runner"):
        program(empty, name)
    assert needs.warnings(response, part({})) == []


def test_path_of_gate_yaml_is_looked_at(empty: Path) -> None:
    (empty / "own").mkdir()
    program(empty / "own", "git")
    assert needs.warnings({}, part({"path": [str(empty / "own")]})) == []


@pytest.mark.parametrize(
    ("runners", "refused"),
    [
        ([(12, "bash")], ""),
        ([(12, "sh")], ""),
        ([(12, "pwsh")], "pwsh"),
        ([(12, "bash"), (13, "pwsh")], ""),
        ([(12, "pwsh"), (13, "bash")], "pwsh"),
        ([(None, "pwsh")], "pwsh"),
        ([(None, "pwsh"), (None, "bash")], ""),
    ],
)
def test_shell_of_this_runner_counts(empty: Path, runners: list[tuple[int | None, str]], refused: str) -> None:
    entries = [
        f'[[runners]]\nexecutor = "custom"\nshell = "{shell}"\n' + (f"id = {number}\n" if number else "")
        for number, shell in runners
    ]
    (empty / "config.toml").write_text("\n".join(entries))
    said = needs.refusal({}, part({}), 12)
    assert (f"shell = {refused!r}" in said) if refused else said == ""


@pytest.mark.parametrize("text", [None, "shell = 'pwsh'\n[[", "\xff", "runners = 'odd'\nshell = 'pwsh'"])
def test_config_toml_that_cannot_be_read_tells_nothing(empty: Path, text: str | None) -> None:
    if text is not None:
        (empty / "config.toml").write_text(text, encoding="latin-1")
    assert needs.refusal({}, part({}), 12) == ""
