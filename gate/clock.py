"""The two clocks: CLOCK_BOOTTIME for deadlines (it counts suspend and cannot be set), wall time for people."""

from __future__ import annotations

import time

ISO_FORM = "%Y-%m-%dT%H:%M:%SZ"
BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


def boottime_ms() -> int:
    """Milliseconds since boot, suspend included (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id() -> str:
    """The kernel's random id of this boot (random(4)); a boottime means nothing beside another one."""
    with open(BOOT_ID_FILE, encoding="ascii") as source:
        return source.read().strip()


def utc_iso(wall_s: float) -> str:
    """A wall time in seconds since the epoch, for programs: `2026-11-24T14:05:00Z`."""
    return time.strftime(ISO_FORM, time.gmtime(wall_s))


def utc_text(wall_s: float) -> str:
    """A wall time in seconds since the epoch, for people: `2026-11-24 14:05:00 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall_s))
