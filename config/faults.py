"""What is wrong with a gate.yaml, and where."""

from __future__ import annotations

QUOTED_CHARACTERS = 60


class Fault:
    """One fault. Line and column count from 1; both are 0 where the fault concerns the file itself.

    `fix` is the command that fixes it, where one outside the file does; `path` leads to the value that it is about.
    `aside` says that it stops no job: it concerns something that others do not wait for, which is off until it is
    fixed.
    """

    def __init__(
        self,
        file: str,
        line: int,
        column: int,
        message: str,
        fix: str = "",
        path: tuple[str | int, ...] = (),
        *,
        aside: bool = False,
    ) -> None:
        """Keep all of it."""
        self.file, self.line, self.column, self.message = file, line, column, message
        self.fix, self.path, self.aside = fix, path, aside

    def __str__(self) -> str:
        """Return `file:line:column: message`, the form that editors jump to."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class ConfigError(Exception):
    """A gate.yaml that cannot be used; `faults` holds all that was found, in the file's order, never empty."""

    def __init__(self, faults: list[Fault]) -> None:
        """Keep the faults sorted, each once."""
        once: dict[tuple[int, int, str], Fault] = {}
        for fault in faults:
            once.setdefault((fault.line, fault.column, fault.message), fault)
        self.faults = sorted(once.values(), key=lambda fault: (fault.line, fault.column))
        super().__init__("\n".join(map(str, self.faults)))


def quoted(text: object) -> str:
    """Return what the operator wrote as it can be shown in one line: repr, cut where it is long."""
    written = str(text)
    short = written if len(written) <= QUOTED_CHARACTERS else written[: QUOTED_CHARACTERS - 3] + "..."
    return ascii(short)
