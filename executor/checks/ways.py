"""By which ways a person of gate.yaml can answer at all on this host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.checks.context import Context


def ways_in(person: str, context: Context) -> list[str]:
    """Return the ways, in words; what cannot be looked at from here counts as one."""
    return [*_as_unix_user(person, context), *_without_one(person, context)]


def why_none(person: str, context: Context) -> str:
    """Return why a person has no way in, in words, with what each way that gate.yaml begins still lacks."""
    known, page = context.policy["people"][person], context.policy["page"]
    lacks = []
    if known["unix"] and known["uid"] is None:
        lacks.append(f"there is no Unix user {known['unix']} on this host")
    elif known["unix"]:
        lacks.append(
            f"a gate that runs as {context.runner_user} takes drops of no other user, and there is no page "
            "with a socket"
        )
    if known["ssh_keys"]:
        lacks.append("signed drops need an approvers_group")
    if page and page["listen"]:
        lacks.append(f"the page has no password of {person}'s: gate user add {person}")
    return "; ".join(lacks) or "gate.yaml gives no Unix user (`unix`) and no SSH key (`ssh_keys`)"


def _as_unix_user(person: str, context: Context) -> Iterator[str]:
    uid, page = context.policy["people"][person]["uid"], context.policy["page"]
    if uid is None:
        return
    if context.runner_uid in (0, uid):
        yield "by drop and on the command line"
    if page and page["socket"]:
        yield "on the page, by its socket"


def _without_one(person: str, context: Context) -> Iterator[str]:
    policy, page = context.policy, context.policy["page"]
    if policy["people"][person]["ssh_keys"] and policy["approvers_gid"] is not None:
        yield "by signed drop"
    if page and page["proxy_socket"]:
        yield "on the page, by the reverse proxy"
    if page and page["listen"] and _has_password(person, policy["state_dir"]):
        yield "on the page, with a password"


def _has_password(person: str, state_dir: str) -> bool:
    """Whether there is an account; `page/` is its user's alone, so others cannot tell, and take it that there is."""
    try:
        names = os.listdir(layout.accounts(layout.page(state_dir)))
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    return f"{person}.json" in names
