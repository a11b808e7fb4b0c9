"""What is odd in a gate.yaml but usable: warnings, a line each."""

from __future__ import annotations

from config.rules import approvers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.accounts import Accounts
    from config.document import Yaml


def warnings(value: Yaml, accounts: Accounts) -> list[str]:
    """Return the warnings for `value`, a faultless gate.yaml with its defaults filled in."""
    return [
        *_no_user(value, accounts),
        *_root(accounts),
        *_no_gitlab_id(value),
        *_claimed_only(value),
        *_privileges(value),
    ]


def _no_user(value: Yaml, accounts: Accounts) -> Iterator[str]:
    for name, person in value["people"].items():
        if accounts.people[name] is None:
            missing = f"no Unix user {person['unix']!a} on this host" if "unix" in person else "no `unix` user given"
            page = value.get("page", {})
            ways = ["by signed drop"] if "ssh_keys" in person else []
            ways += ["on the page"] if "listen" in page or "proxy_socket" in page else []
            answer = f"can answer {' or '.join(ways)} only" if ways else "cannot answer by drop"
            yield f"{name}: {missing}: {name} {answer}"


def _root(accounts: Accounts) -> Iterator[str]:
    for name, user in accounts.people.items():
        if user is not None and user.uid == 0:
            yield (
                f"{name}: the Unix user is root: everybody who may use sudo answers as {name}; name a user of their own"
            )


def _no_gitlab_id(value: Yaml) -> Iterator[str]:
    """Who triggered a job is surest told by id: a name can be changed in GitLab, the id stays."""
    asked = {name for rule in value["rules"] if not rule["self_approval"] for name in approvers(value, rule)}
    for name, person in value["people"].items():
        if name in asked and not any(isinstance(each, int) for each in person.get("gitlab", [])):
            yield (
                f"{name}: no numeric GitLab id given: a job that {name} triggered may not be known as theirs to approve"
            )


def _claimed_only(value: Yaml) -> Iterator[str]:
    for rule in value["rules"]:
        if set(rule["match"]) == {"environment"}:
            yield (
                f"rule {rule['name']!r}: matches by environment alone, which is the job's own claim: its author can "
                "leave it out; match by project, ref, protected or runner as well"
            )


def _privileges(value: Yaml) -> Iterator[str]:
    if not value["backend"]["no_new_privileges"]:
        yield (
            "backend: no_new_privileges is off: what sudo allows the job's user, any approved job may do; one that "
            "becomes root gets at other jobs, and at the gate"
        )
