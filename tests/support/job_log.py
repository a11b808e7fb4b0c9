"""Job logs as a real gitlab-runner wrote them (development version after 19.3), line by line, in all the forms they come in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ESC = "\x1b"
HEADS = [(2, "d1" * 32), (5, "38" * 32)]
FORGED = (9, "0" * 64)


def head_line(seq: int, sha256: str) -> str:
    return f"gate: audit head seq={seq} sha256={sha256}"


BEFORE = [
    f"{ESC}[0KRunning with gitlab-runner 19.3.0 (0f67ff19){ESC}[0;m",
    f"{ESC}[0K  on gate test-toke, system ID: s_1746f8786189{ESC}[0;m",
    f"section_start:1795516980:resolve_secrets\r{ESC}[0K{ESC}[0K{ESC}[36;1mResolving secrets{ESC}[0;m{ESC}[0;m",
    (
        f"section_end:1795516980:resolve_secrets\r{ESC}[0Ksection_start:1795516980:prepare_executor\r{ESC}[0K{ESC}[0K{ESC}[36;1m"
        f'Preparing the "custom" executor{ESC}[0;m{ESC}[0;m'
    ),
    f"{ESC}[0KUsing Custom executor with driver gitlab-runner-gate v0.1.0...{ESC}[0;m",
    "gate: this job waits for an approval; nothing of it has run yet",
    f"gate:   job       {head_line(*FORGED)} #1001 (stage section_end:1:prepare_executor) of grp/app",
    head_line(*HEADS[0]),
    f'gate: alice approves: "Preparing environment {head_line(*FORGED)}"',
    "gate: the job goes on; 9min 57s of its 10min are left for it to run",
    head_line(*HEADS[1]),
]
AFTER = [
    (
        f"section_end:1795516983:prepare_executor\r{ESC}[0Ksection_start:1795516983:prepare_script\r{ESC}[0K{ESC}[0K{ESC}[36;1m"
        f"Preparing environment{ESC}[0;m{ESC}[0;m"
    ),
    "Running on vm via test.example...",
    (
        f"section_end:1795516983:prepare_script\r{ESC}[0Ksection_start:1795516983:get_sources\r{ESC}[0K{ESC}[0K{ESC}[36;1m"
        f"Getting source from Git repository{ESC}[0;m{ESC}[0;m"
    ),
    f"{ESC}[32;1mSkipping Git repository setup{ESC}[0;m",
    (
        f"section_end:1795516983:get_sources\r{ESC}[0Ksection_start:1795516983:step_script\r{ESC}[0K{ESC}[0K{ESC}[36;1m"
        f'Executing "step_script" stage of the job script{ESC}[0;m{ESC}[0;m'
    ),
    f"{ESC}[32;1m$ ./deploy.sh{ESC}[0;m",
]
END = [f"section_end:1795516989:step_script\r{ESC}[0K{ESC}[32;1mJob succeeded{ESC}[0;m", ""]
SCRIPT = [
    head_line(*FORGED),
    (
        f"section_end:1:step_script\r{ESC}[0Ksection_start:1:prepare_executor\r{ESC}[0K{ESC}[36;1m"
        f'Preparing the "custom" executor{ESC}[0;m'
    ),
    head_line(*FORGED),
]


def raw(before: list[str] | None = None, script: list[str] | None = None) -> str:
    """The log as the runner sends it without FF_TIMESTAMPS."""
    return "\n".join([*(BEFORE if before is None else before), *AFTER, *(SCRIPT if script is None else script), *END])


def stamped(log: str) -> str:
    """With FF_TIMESTAMPS: a line that has a CR goes on, after a line feed, as one with a plus."""
    lines = [re.sub(r"\r(?!$)", "\r\n00O+", line) for line in log.split("\n")]
    lines = [line if line.startswith("00O+") else f"00O {line}" for line in "\n".join(lines).split("\n")]
    return "\n".join(f"2026-11-24T10:44:04.{number % 10**6:06}Z {line}" for number, line in enumerate(lines))


def plain(log: str) -> str:
    """As somebody copied it out of the browser: neither markers nor colours."""
    log = re.sub(r"section_(start|end):\d+:\w+\r\x1b\[0K", "", log)
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", log)


def without_colours(log: str) -> str:
    return re.sub(r"\x1b\[[0-9;]+m", "", log)


def without_sections(log: str) -> str:
    """As a runner writes it for a GitLab that has no sections."""
    return re.sub(r"section_(start|end):\d+:\w+\r\x1b\[0K", "", log)


def masked(log: str) -> str:
    """As it is where the job has masked variables of the values that the end of the section could be known by."""
    for value in ("section_end", "prepare_script", "get_sources", "step_script", "environment"):
        log = log.replace(value, "[MASKED]")
    return log


FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda log: log,
    "stamped": stamped,
    "stamped, CRLF": lambda log: stamped(log).replace("\r\n", "\n").replace("\n", "\r\n"),
    "stamped, LF": lambda log: stamped(log).replace("\r\n", "\n"),
    "CRLF": lambda log: log.replace("\n", "\r\n"),
    "copied": plain,
    "copied, CRLF": lambda log: plain(log).replace("\n", "\r\n"),
    "without colours": without_colours,
    "without sections": without_sections,
    "without sections, stamped": lambda log: stamped(without_sections(log)),
    "masked": masked,
    "masked, without sections": lambda log: masked(without_sections(log)),
    "masked, stamped": lambda log: stamped(masked(log)),
}
