"""A job log, shown as it grows: whole lines, each behind a bar, so that the demo's own words can be told from it."""

from __future__ import annotations

import os
import re
import sys

BAR = "  | "
_SECTION = re.compile(r"section_(start|end):\d+:[^\r\n]*\r")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OTHER_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-ln-z]|\r")


class LiveLog:
    """Prints what is new in a growing log; GitLab's section marks never, colours on a terminal only."""

    def __init__(self) -> None:
        self.text = ""
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def show(self, text: str, *, is_whole: bool) -> None:
        """`text` is the log so far; its last line may be half a one, unless it is whole."""
        ready = text if is_whole else text[: text.rfind("\n") + 1]
        for line in ready[len(self.text) :].split("\n"):  # not splitlines: a section mark has a CR in it
            clean = self._clean(line)
            if clean:
                print(f"{BAR}{clean}", flush=True)
        self.text = max(self.text, ready, key=len)

    def has_line(self, wanted: str) -> bool:
        """Whether one line is exactly `wanted`: a shell that shows its commands shows them with a `$` before."""
        return any(_COLOUR.sub("", _plain(line)) == wanted for line in self.text.split("\n"))

    def _clean(self, line: str) -> str:
        plain = _plain(line)
        bare = _COLOUR.sub("", plain)
        return plain if self._colours and bare else bare


def _plain(line: str) -> str:
    return _OTHER_ANSI.sub("", _SECTION.sub("", line))
