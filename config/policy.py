"""A gate.yaml without faults -> the policy: plain values, nothing left to look up, as kept with each attempt."""

from typing import Any

from config.accounts import Accounts, User
from config.meaning import members

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def make(value: dict[str, Any], accounts: Accounts) -> dict[str, Any]:
    """Return the policy for `value`, a faultless gate.yaml with its defaults filled in. It is fit for JSON."""
    return {
        "version": value["version"],
        "site": value["site"],
        "state_dir": value["state_dir"].rstrip("/"),
        "approvers_group": value.get("approvers_group"),
        "approvers_gid": accounts.approvers_gid,
        "people": {name: _person(person, accounts.people[name]) for name, person in value["people"].items()},
        "groups": value["groups"],
        "rules": [_rule(rule, value) for rule in value["rules"]],
        "backend": _backend(value["backend"], accounts.run_as or accounts.runner),
        "exit_codes": value["exit_codes"],
        "warnings": _warnings(value, accounts),
    }


def seconds(duration: str) -> int:
    """Return a duration such as 30s, 15m, 4h or 2d in seconds."""
    return int(duration[:-1]) * _UNIT_S[duration[-1]]


def _person(person: dict[str, Any], user: User | None) -> dict[str, Any]:
    gitlab = person.get("gitlab", [])
    return {
        "unix": person.get("unix"),
        "uid": user.uid if user else None,
        "gitlab_names": list(dict.fromkeys(each.casefold() for each in gitlab if isinstance(each, str))),
        "gitlab_ids": list(dict.fromkeys(each for each in gitlab if isinstance(each, int))),
    }


def _rule(rule: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": rule["name"],
        "match": rule["match"],
        "approvals": [{**each, "people": members(value, each["of"])} for each in rule["approvals"]],
        "decide_within_s": seconds(rule["decide_within"]),
        "early": rule["early"],
        "reserve_s": seconds(rule["reserve"]) if "reserve" in rule else None,
        "self_approval": rule["self_approval"],
    }


def _backend(backend: dict[str, Any], user: User) -> dict[str, Any]:
    return {
        "type": backend["type"],
        "run_as": backend.get("run_as"),
        "uid": user.uid,
        "gid": user.gid,
        "home": user.home,
        "isolate": backend["isolate"],
        "allow_same_user": backend["allow_same_user"],
    }


def _warnings(value: dict[str, Any], accounts: Accounts) -> list[str]:
    people = value["people"].items()
    no_user = [_no_user(name, person.get("unix")) for name, person in people if accounts.people[name] is None]
    strict = [rule for rule in value["rules"] if not rule["self_approval"]]
    asked = {name for rule in strict for each in rule["approvals"] for name in members(value, each["of"])}
    no_gitlab = [_no_gitlab(name) for name, person in people if "gitlab" not in person and name in asked]
    return no_user + no_gitlab


def _no_user(name: str, unix: str | None) -> str:
    missing = f"no Unix user {unix!a} on this host" if unix else "no `unix` user given"
    return f"{name}: {missing}: {name} cannot answer by drop"


def _no_gitlab(name: str) -> str:
    return f"{name}: no `gitlab` name or id given: a job that {name} triggered cannot be told from another person's"
