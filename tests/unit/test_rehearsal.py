"""The rehearsal's own input and small parts; that it plays the runner truly is shown in tests/runner/."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gitlab_runner_gate
from executor.rehearsal import scripts
from executor.rehearsal.attempt import parse_config
from executor.rehearsal.errors import DriverError
from executor.rehearsal.job_log import Masker
from executor.rehearsal.session import Outcome, RehearsalError, exit_status, run
from executor.rehearsal.variables import Directories, Variable, expand
from executor.rehearsal.version import NEWEST_KNOWN, chosen, passes_codes_on
from executor.rehearsal.wiring import as_rehearsal, built_in, from_config_toml

if TYPE_CHECKING:
    from pathlib import Path

RUNNER = '[[runners]]\nname = "a"\nexecutor = "custom"\n[runners.custom]\n'
WIRED = RUNNER + 'run_exec = "true"\n'


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome("success", None, None), 0),
        (Outcome("failed", "script_failure", 80), 80),
        (Outcome("failed", "script_failure", None), 1),
        (Outcome("failed", "script_failure", 256), 1),
        (Outcome("failed", "runner_system_failure", None), 2),
        (Outcome("failed", "job_execution_timeout", None), 2),
        (Outcome("canceled", "script_failure", 80), 130),
    ],
)
def test_exit_status_is_the_jobs(outcome: Outcome, status: int) -> None:
    assert exit_status(outcome) == status


@pytest.mark.parametrize(
    ("job", "toml", "settings", "message"),
    [
        (None, WIRED, [], "job.json: cannot be read: No such file or directory; name a job response file"),
        ("{", WIRED, [], "job.json: not JSON: "),
        ("[]", WIRED, [], "job.json: list, not an object"),
        ("{}", WIRED, [], "job.json: id is None, not a number"),
        ('{"id": 1, "steps": [{"name": "script"}]}', WIRED, [], "steps[0]: script is None, not a list of lines"),
        ('{"id": 1, "variables": [{}]}', WIRED, [], "variables[0]: key is None, not a string"),
        ('{"id": 1, "variables": 5}', WIRED, [], "variables is 5, not list"),
        ('{"id": 1, "runner_info": {"timeout": "1h"}}', WIRED, [], "timeout is '1h', not int"),
        ('{"id": 1}', WIRED, ["KEY"], "'KEY' is not KEY=VALUE; write it as --set KEY=VALUE"),
        ('{"id": 1}', WIRED, ["=x"], "'=x' is not KEY=VALUE"),
        ('{"id": 1}', None, [], "config.toml: no such file or directory; fix it, or name"),
        ('{"id": 1}', "[[", [], "config.toml: not TOML: "),
        ('{"id": 1}', "", [], 'config.toml: no [[runners]] with executor = "custom"'),
        ('{"id": 1}', RUNNER + "run_exec = 5", [], "run_exec is 5: write one text, in quotes"),
        ('{"id": 1}', WIRED + 'run_args = "x"', [], "run_args is 'x': write a list of texts"),
        ('{"id": 1}', WIRED + 'prepare_exec_timeout = "9"', [], "prepare_exec_timeout is '9': write a whole number"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, job: str | None, toml: str | None, settings: list[str], message: str
) -> None:
    for name, text in (("job.json", job), ("config.toml", toml)):
        if text is not None:
            (tmp_path / name).write_text(text)
    with pytest.raises(RehearsalError) as caught:
        run(str(tmp_path / "job.json"), str(tmp_path / "config.toml"), None, settings, None, None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_runner_is_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(WIRED + WIRED.replace('"a"', '"b"').replace("true", "false"))
    assert from_config_toml(str(path)).run == ("true",)
    assert from_config_toml(str(path), "b").run == ("false",)
    with pytest.raises(RehearsalError, match="name 'c'"):
        from_config_toml(str(path), "c")


def test_built_in_wiring_passes_the_prepare_timeout_on() -> None:
    wiring = built_in("gate.yaml")
    assert wiring.prepare[-2:] == ("--prepare-timeout", str(wiring.prepare_exec_timeout))
    assert wiring.run[-3:] == ("--config", "gate.yaml", "run")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("/opt/gate/bin/gate-executor", "config"), ("/opt/gate/bin/gate-executor", "--rehearsal", "config")),
        (("sudo", "gate-executor", "--config", "config", "config"), ("sudo", "gate-executor", "--config", "config", "--rehearsal", "config")),
        (("python3", "/x/gitlab_runner_gate.py", "config"), ("python3", "/x/gitlab_runner_gate.py", "--rehearsal", "config")),
        (("/x/driver", "config"), ("/x/driver", "config")),
        ((), ()),
    ],
)  # fmt: skip
def test_a_gate_is_told_that_it_is_a_rehearsal(command: tuple[str, ...], told: tuple[str, ...]) -> None:
    assert as_rehearsal(command) == told


def test_a_gate_that_was_not_told_is_not_gone_on_with(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answer = '{"driver": {"name": "gitlab-runner-gate"}}'
    (tmp_path / "config.toml").write_text(WIRED + f"config_exec = \"echo\"\nconfig_args = ['{answer}']\n")
    (tmp_path / "job.json").write_text('{"id": 1}')
    run(str(tmp_path / "job.json"), str(tmp_path / "config.toml"), None, [], None, None)
    assert "the gate was not told that this is a rehearsal" in capfd.readouterr().out


@pytest.mark.parametrize(
    "words", [["--rehearsal", "prepare"], ["--rehearsal", "run", "x", "y"], ["--rehearsals", "config"]]
)
def test_only_config_takes_that(words: list[str]) -> None:
    command = [sys.executable, "-I", gitlab_runner_gate.__file__, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "--rehearsal" in done.stdout + done.stderr) == (2, True)


CODES = [
    "sh -c 'exit 42'",
    "exit 43",
    "no-such-command-here",
    "sh -c 'exit 80'",
    "false",
    "(exit 44)",
    "true | sh -c 'exit 45'",
    "true",
]
PASSED_ON = [42, 43, 127, 80, 1, 44, 45, 0]  # as seen with 19.3.0
MADE_ONE = [1, 43, 1, 1, 1, 1, 1, 0]  # as seen with 17.9.3
ON = {"FF_USE_LEGACY_BASH_EVAL": "true", "FF_USE_NEW_BASH_EVAL_STRATEGY": "true"}


@pytest.mark.parametrize(
    ("version", "flags", "expected"),
    [("17.9.3", {}, MADE_ONE), ("19.0", {}, MADE_ONE), ("19.1.0", {}, PASSED_ON), ("20.0.0", {}, PASSED_ON),
     ("17.9.3", ON, PASSED_ON), ("19.3.0", ON, MADE_ONE)],
)  # fmt: skip
def test_a_script_ends_as_with_that_runner(
    tmp_path: Path, version: str, flags: dict[str, str], expected: list[int]
) -> None:
    bash = scripts.Bash(passes_codes_on=passes_codes_on(version, flags))
    where = Directories(str(tmp_path), str(tmp_path))
    texts = [scripts.step([line], [], where, bash) for line in CODES]
    assert [
        subprocess.run(["bash", "-c", text], check=False, capture_output=True).returncode for text in texts
    ] == expected


@pytest.mark.parametrize("version", ["", "19", "nineteen", "17.8.0", "16.11", "v19.3.0", "19.3.0-rc1", "1" * 30 + ".1"])
def test_a_version_that_cannot_be_played_is_refused(version: str) -> None:
    with pytest.raises(RehearsalError, match=r"is no version of gitlab-runner|is older than 17\.9"):
        run(None, None, "gate.yaml", [], None, None, runner_version=version or " ")


@pytest.mark.parametrize(
    ("message", "played"),
    [("echo 'Version:      17.9.3'", "17.9.3"), ("echo 'Version:  16.0.0'", NEWEST_KNOWN), ("exit 3", NEWEST_KNOWN), (None, NEWEST_KNOWN)],
)  # fmt: skip
def test_the_runner_that_is_here_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str | None, played: str
) -> None:
    program = tmp_path / "gitlab-runner"
    if message:
        program.write_text(f"#!/bin/sh\n{message}\n")
        program.chmod(0o755)
    monkeypatch.setenv("GITLAB_RUNNER", str(program))
    assert chosen(None) == played
    assert chosen("18.0") == "18.0"


def test_report_and_settings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_exec = RUNNER + 'run_exec = "bash"\nrun_args = ["-c", "bash $0; code=$?; echo $code >$BUILD_EXIT_CODE_FILE; '
    toml = run_exec + 'exit $((code ? 1 : 0))"]\n'
    directories = f'builds_dir = "{tmp_path}/b"\ncache_dir = "{tmp_path}/c"\n'
    (tmp_path / "config.toml").write_text(toml.replace("[runners.custom]\n", f"{directories}[runners.custom]\n"))
    step = {"name": "script", "script": ["echo it is $COLOUR", "exit 33"]}
    (tmp_path / "job.json").write_text(json.dumps({"id": 1, "steps": [step]}))
    report = tmp_path / "report.json"
    files = (str(tmp_path / "job.json"), str(tmp_path / "config.toml"))
    assert run(*files, None, ["COLOUR=red"], 60, str(report)) == 33
    assert json.loads(report.read_text()) == {"state": "failed", "failure_reason": "script_failure", "exit_code": 33}
    assert "it is red\n" in capfd.readouterr().out


@pytest.mark.parametrize(
    "output",
    [b"{", b"[]", b"5", b'{"builds_dir": 5}', b'{"job_env": {"A": 1}}', b'{"driver": "x"}', b"\xff", b"{} {}"],
)
def test_bad_config_output_is_a_system_failure(output: bytes) -> None:
    with pytest.raises(DriverError, match="error while parsing JSON output"):
        parse_config(output)


@pytest.mark.parametrize(
    ("output", "answer"), [(b"", {}), (b"{}\n", {}), (b'{"builds_dir": "/b", "shell": null}', {"builds_dir": "/b"})]
)
def test_config_output_is_read(output: bytes, answer: dict[str, Any]) -> None:
    assert parse_config(output) == answer


SMALL = st.binary(max_size=6).map(lambda raw: bytes(b"ab\n"[byte % 3] for byte in raw))


@given(phrases=st.lists(SMALL, max_size=3), pieces=st.lists(SMALL, max_size=8))
def test_masker_lets_no_phrase_through_however_it_is_cut(phrases: list[bytes], pieces: list[bytes]) -> None:
    def masked(parts: list[bytes]) -> bytes:
        out: list[bytes] = []
        masker = Masker(phrases, out.append)
        for part in parts:
            masker.feed(part)
        masker.close()
        return b"".join(out)

    result = masked(pieces)
    for part in result.split(b"[MASKED]"):
        assert not [phrase for phrase in phrases if phrase and phrase in part]
    if not any(phrases):
        assert result == b"".join(pieces)


def test_masker_holds_back_only_what_may_be_a_phrase() -> None:
    out: list[bytes] = []
    masker = Masker([b"secret"], out.append)
    masker.feed(b"waiting\nsec")
    assert out == [b"waiting\n"]
    masker.feed(b"ond\n")
    assert b"".join(out) == b"waiting\nsecond\n"


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("$A", "1"),
        ("${A}x$B-", "1x$A-"),
        ("$$A", "$A"),
        ("$NONE.$1.$?.%$", "...%$"),
        ("$FILE", "/b/p.tmp/FILE"),
    ],
)
def test_variables_are_expanded_once(value: str, expanded: str) -> None:
    others = [Variable("A", "0"), Variable("A", "1"), Variable("B", "$A"), Variable("FILE", "text", file=True)]
    where = Variable("RUNNER_TEMP_PROJECT_DIR", "/b/p.tmp")
    assert expand([*others, where, Variable("X", value)])[-1].value == expanded
    assert expand([*others, where, Variable("X", value, raw=True)])[-1].value == value


HOSTILE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@given(value=HOSTILE)
def test_script_gets_hostile_values_as_they_are(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    root = tmp_path_factory.mktemp("job")
    directories = Directories(str(root), str(root / "a b'c"))
    os.mkdir(directories.project)
    variables = [
        Variable("RUNNER_TEMP_PROJECT_DIR", directories.temporary),
        Variable("V", value),
        Variable("F", value, file=True),
        Variable("not-a-name", value),
    ]
    text = scripts.step(['printf %s "$V" >v', 'cat "$F" >f'], variables, directories, scripts.Bash())
    subprocess.run(["bash", "-c", text], check=True, stdout=subprocess.DEVNULL)
    for name in ("v", "f"):
        assert (root / "a b'c" / name).read_bytes() == value.encode()


def test_hooks_run_around_get_sources(tmp_path: Path) -> None:
    hooks = [{"name": f"{when}_get_sources_script", "script": [f"echo {when} in $PWD"]} for when in ("post", "pre")]
    directories = Directories(str(tmp_path), str(tmp_path / "p"))
    text = scripts.get_sources({"hooks": hooks}, [], directories, scripts.Bash())
    said = subprocess.run(["bash", "-c", text], check=True, capture_output=True, text=True).stdout
    assert said.index(f"\npre in {tmp_path}/p") < said.index("fetches no sources") < said.index("\npost in")
