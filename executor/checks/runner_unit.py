"""The systemd unit of gitlab-runner: files and drop-ins, merged by systemd's own tools (docs/adr/0041-units.md)."""

import re
import shlex
from dataclasses import dataclass, field

from executor.checks.system import System

NAME = "gitlab-runner.service"
DROP_INS = f"/etc/systemd/system/{NAME}.d"
DEFAULT_STOP_S = 90.0
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400,
            "day": 86400, "days": 86400, "w": 604800, "week": 604800, "weeks": 604800}  # fmt: skip


@dataclass(frozen=True)
class Unit:
    """Its [Service] section: all values of each key, in order; systemd's defaults where there is none."""

    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_live: bool = False

    def value(self, key: str) -> str:
        """The last value of a key, which is the one that counts; empty where there is none."""
        return self.values(key)[-1] if self.values(key) else ""

    def values(self, key: str) -> tuple[str, ...]:
        """All values of a key that takes several."""
        return self.settings.get(key, ())

    @property
    def user(self) -> str:
        """Whom the runner runs as."""
        return self.value("User") or "root"

    @property
    def kill_signal(self) -> str:
        """What the runner gets when it is to stop."""
        found = self.value("KillSignal") or "SIGTERM"
        return found if found.startswith("SIG") else {"3": "SIGQUIT", "15": "SIGTERM"}.get(found, f"SIG{found}")

    @property
    def kill_mode(self) -> str:
        """Which other processes get it: control-group, mixed, process, none."""
        return self.value("KillMode") or "control-group"

    @property
    def stop_within_s(self) -> float:
        """After how long what still runs is killed; infinite where that never comes."""
        return seconds(self.value("TimeoutStopSec")) or DEFAULT_STOP_S

    @property
    def open_files(self) -> int | None:
        """The most files that the runner may have open; None where the unit sets no limit."""
        found = self.value("LimitNOFILE").rpartition(":")[2]
        return int(found) if found.isascii() and found.isdigit() else None

    @property
    def command(self) -> list[str]:
        """ExecStart's words."""
        try:
            return shlex.split(self.value("ExecStart").lstrip("@-:+!"))
        except ValueError:
            return []

    def option(self, *names: str) -> str:
        """The value of an option of its command, by any of its names; empty where there is none."""
        words = self.command
        found = [words[i + 1] for i, word in enumerate(words[:-1]) if word in names]
        found += [word.partition("=")[2] for word in words if word.partition("=")[0] in names and "=" in word]
        return found[0] if found else ""

    @property
    def tasks(self) -> int | None:
        """The most processes and threads that it may have; None where that is no plain number."""
        found = self.value("TasksMax")
        return int(found) if found.isascii() and found.isdigit() else None


def find(system: System) -> Unit | None:
    """Return the runner's unit, None where there is none."""
    live = is_live(system)
    text = text_of(NAME, system, live=live)
    return Unit(_settings(text), live) if text else None


def is_live(system: System) -> bool:
    """Return whether systemd runs here."""
    return (system.text("/proc/1/comm") or "").strip() == "systemd"


def text_of(unit: str, system: System, *, live: bool) -> str:
    """Return a unit and its drop-ins, in the order in which they count.

    Empty where there is none, or no systemd's tools.
    """
    merged = ("systemctl", "cat", unit) if live else ("systemd-analyze", "cat-config", f"systemd/system/{unit}")
    text = system.output(*merged) or ""
    is_missing = text.startswith("# Main configuration file ")  # so it says, and succeeds
    return "" if is_missing or "[Service]" not in text else text


def seconds(span: str) -> float | None:
    """Return a time span (systemd.time(7)) in seconds, `inf` for infinity, None for what is none."""
    if span.strip() == "infinity":
        return float("inf")
    parts = re.findall(r"([0-9.]+)\s*([a-z]*)", span)
    if not parts or any(unit not in _UNITS_S for _, unit in parts):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts) or float("inf")


def _settings(text: str) -> dict[str, tuple[str, ...]]:
    settings: dict[str, tuple[str, ...]] = {}
    section = ""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped
        elif section == "[Service]" and "=" in stripped and not stripped.startswith(("#", ";")):
            name, _, value = (each.strip() for each in stripped.partition("="))
            key = "TimeoutStopSec" if name == "TimeoutSec" else name  # it sets that one, and the one for starting
            earlier = settings.get(key, ()) if value or key == "CapabilityBoundingSet" else ()  # nothing: begin anew
            settings[key] = (*earlier, value)
    return settings
