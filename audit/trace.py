r"""Heads of the audit log in a GitLab job log: those that the gate printed, before a line of the job's own could run.

A job's script prints whatever it likes, also lines that look like heads. So only whole lines count, between the
beginning and the end of the runner's section `prepare_executor`, where nothing of the job runs. In a log without
section markers the runner's own headlines stand for them. Whatever could be another section or a run stage ends it for
good: also where its name is masked, as the values of masked variables are. A log whose beginning is missing has no such
place, since who printed what is not known any more.

Seen on gitlab-runner 17.9 to 19.3: a marker is `section_start:<unix time>:<name>\r ESC[0K`, and more may follow on its
line (the runner's helpers/build_section.go); a headline is in bold cyan. With FF_TIMESTAMPS each line begins with a
time, a stream, O or E, and a blank, or a `+` where it goes on with the line before.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

from audit.anchors import Anchor
from audit.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE_MAX_BYTES = 64 * 1024

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z [0-9a-f]{2}[OE]([ +])", re.ASCII)
_HEAD = re.compile(r"gate: audit head seq=([1-9][0-9]{0,15}) sha256=([0-9a-f]{64})\r?")
_BETWEEN = re.compile(r"(?:\r|\x1b\[0K)+")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HEADLINE = "\x1b[36;1m"
_BEFORE = re.compile(r"section_(?:start|end):\d+:resolve_secrets|Resolving secrets", re.ASCII)
_BEGINS = re.compile(r'section_start:\d+:prepare_executor(?:\[[^\]]*\])?|Preparing the "custom" executor', re.ASCII)
_ENDS = re.compile(
    r"section_(?:start|end):|Preparing |Running (?:on|after) |Getting source|Restoring cache|Downloading artifacts|"
    r'Executing "|Saving cache|Uploading artifacts|Cleaning up |Job succeeded|ERROR: Job failed'
)


def anchors_in(source: IO[bytes], name: str) -> list[Anchor]:
    """The heads in a job log, raw or as downloaded, with or without time stamps.

    Args:
        source: the log, from its first line.
        name: what messages call it.

    Raises:
        AuditError: there is none.
        OSError: it cannot be read.
    """
    found = [Anchor(int(head[1]), head[2], name) for head in map(_HEAD.fullmatch, _before_the_script(source)) if head]
    if not found:
        raise AuditError(
            f"{name} holds no audit head before its script: give the whole log of a gated job, from its first line"
        )
    return found


def _before_the_script(source: IO[bytes]) -> Iterator[str]:
    """The lines of the section in which the gate speaks."""
    inside = False
    for line in _lines(source):
        for part in filter(None, _BETWEEN.split(line)):
            text = _ANSI.sub("", part)
            if _BEGINS.fullmatch(text):
                inside = True
            elif (_HEADLINE in part or _ENDS.match(text)) and (inside or not _BEFORE.fullmatch(text)):
                return
        if inside:
            yield line


def _lines(source: IO[bytes]) -> Iterator[str]:
    """The lines without their stamps, those that go on with the one before put together; long ones are cut."""
    before: str | None = None
    for piece in _pieces(source):
        stamp = _STAMP.match(piece)
        text = piece[stamp.end() :] if stamp else piece
        if stamp and stamp[1] == "+" and before is not None:
            before = (before + text)[:LINE_MAX_BYTES]
            continue
        if before is not None:
            yield before
        before = text
    if before is not None:
        yield before


def _pieces(source: IO[bytes]) -> Iterator[str]:
    begins = True
    while piece := source.readline(LINE_MAX_BYTES):
        if begins:
            yield piece.decode("utf-8", "replace").removesuffix("\n")
        begins = piece.endswith(b"\n")
