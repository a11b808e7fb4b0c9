"""Nothing grows for ever: what every sweep removes, by `keep` in gate.yaml (docs/reference/state.md, "What grows").

One sweep at a time does it, and each only a little, so that no job waits long for what others left. It does no harm to
be behind: the next sweep goes on.
"""

from __future__ import annotations

import fcntl

from audit.descriptor import held_directory
from audit.errors import AuditError
from gate.store import layout
from gate.store.files import StateError
from gate.store.rmtree import Allowance, SpentError
from gate.upkeep import archive, leftovers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Policy

NAMES_MAX = 2000  # a sweep removes no more: some 50 ms


def tidy(policy: Policy, own_key: str, now_s: float) -> list[str]:
    """Remove what is due at `now_s` (wall time), but nothing of the job `own_key`; returns a line for each fault."""
    keep, state_dir = policy.get("keep"), policy["state_dir"]
    if keep is None:  # a job that an older version of the gate let in
        return []
    try:
        return alone(layout.archive(state_dir), lambda: _tidy(policy, own_key, now_s))
    except OSError as error:
        return [_cannot(error)]


def alone(directory: str, work: Callable[[], list[str]]) -> list[str]:
    """What `work` returns; nothing, and it is not done, while another process holds `directory`.

    Raises:
        OSError: the directory cannot be opened.
    """
    with held_directory(directory) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        return work()


def _tidy(policy: Policy, own_key: str, now_s: float) -> list[str]:
    state_dir, allowed, faults = policy["state_dir"], Allowance(NAMES_MAX), []
    # A rejection is remembered for as long as it keeps a repeat of its job out.
    requests_s = max([policy["keep"]["requests_s"], *[rule["after_rejection_s"] for rule in policy["rules"]]])
    before_s = now_s - requests_s
    try:
        found = archive.untouched(state_dir, own_key, before_s)
    except OSError as error:
        return [_cannot(error)]
    steps: list[Callable[[], list[str] | None]] = [
        lambda: archive.archive_ended(state_dir, found, before_s, now_s),
        lambda: archive.set_aside_unopened(state_dir, found),
        lambda: leftovers.remove_set_aside(state_dir, allowed),
        lambda: archive.forget(state_dir, policy["keep"]["log_s"], now_s, allowed),
        lambda: leftovers.remove_turned_away(state_dir, now_s - policy["keep"]["requests_s"], allowed),
        lambda: leftovers.remove_work(state_dir, own_key, allowed),
        lambda: leftovers.remove_caches(state_dir, allowed),
    ]
    for step in steps:
        try:
            faults += step() or []
        except SpentError:
            break
        except OSError as error:
            faults.append(_cannot(error))
        except (StateError, AuditError) as error:
            faults.append(f"cannot tidy up: {error}")
    return faults


def _cannot(error: OSError) -> str:
    return f"cannot tidy up: {error.strerror}: {error.filename}"
