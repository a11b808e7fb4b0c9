"""A gate.yaml without faults -> the policy: plain values, nothing left to look up, as kept with each attempt."""

from __future__ import annotations

from config.page import link_socket_of, listen_of, shares_group, url_of
from config.patterns import never
from config.people import members
from config.rules import alternatives
from config.ssh_keys import bare
from config.warnings import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from config.accounts import Accounts, User
    from config.document import Yaml
    from config.shapes import AuditSettings, Backend, Entry, JobUser, PageSettings, Person, Policy, Rule, Unmatchable

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_UNIT_BYTES = {"MiB": 1024**2, "GiB": 1024**3}


def make(value: Yaml, accounts: Accounts) -> Policy:
    """Return the policy for `value`, a faultless gate.yaml with its defaults filled in. It is fit for JSON."""
    return {
        "version": value["version"],
        "site": value["site"],
        "state_dir": value["state_dir"].rstrip("/"),
        "approvers_group": value.get("approvers_group"),
        "approvers_gid": accounts.approvers_gid,
        "people": {name: _person(person, accounts.people[name]) for name, person in value["people"].items()},
        "groups": value["groups"],
        "rules": [_rule(rule, value, accounts) for rule in value["rules"]],
        "backend": _backend(value["backend"], accounts),
        "exit_codes": value["exit_codes"],
        "page": _page(value["page"], accounts) if "page" in value else None,
        "audit": _audit(value["audit"]),
        "keep": {"requests_s": seconds(value["keep"]["requests"]), "log_s": seconds(value["keep"]["log"])},
        "on_event": value.get("on_event", []),
        "warnings": warnings(value, accounts),
    }


def seconds(duration: str) -> int:
    """Return a duration such as 30s, 15m, 4h or 2d in seconds."""
    return int(duration[:-1]) * _UNIT_S[duration[-1]]


def size_bytes(size: str) -> int:
    """Return a size such as 64MiB or 1GiB in bytes."""
    return int(size[:-3]) * _UNIT_BYTES[size[-3:]]


def _person(person: Yaml, user: User | None) -> Person:
    gitlab = person.get("gitlab", [])
    return {
        "unix": person.get("unix"),
        "uid": user.uid if user else None,
        "gitlab_names": list(dict.fromkeys(each.casefold() for each in gitlab if isinstance(each, str))),
        "gitlab_ids": list(dict.fromkeys(each for each in gitlab if isinstance(each, int))),
        "ssh_keys": list(dict.fromkeys(bare(line) for line in person.get("ssh_keys", []))),
        "proxy_names": list(dict.fromkeys(person.get("proxy", []))),
    }


def _rule(rule: Yaml, value: Yaml, accounts: Accounts) -> Rule:
    return {
        "name": rule["name"],
        "match": {key: alternatives(criterion) for key, criterion in rule["match"].items()},
        "approvals": [_entry(each, value) for each in rule["approvals"]],
        "rejections": rule["rejections"],
        "decide_within_s": seconds(rule["decide_within"]),
        "early": rule["early"],
        "reserve_s": seconds(rule["reserve"]) if "reserve" in rule else None,
        "self_approval": rule["self_approval"],
        "comment": rule["comment"],
        "run_as": _job_user(rule["run_as"], accounts) if "run_as" in rule else None,
        "named_home": rule.get("home"),
        "deny": rule["variables"]["deny"],
        "limits": _limits(rule.get("limits", {})),
        "after_rejection_s": seconds(rule["after_rejection"]),
        "remind_every_s": seconds(rule["remind_every"]) if "remind_every" in rule else None,
        "supersede": rule["supersede"],
        **_never(rule),
    }


def _entry(entry: Yaml, value: Yaml) -> Entry:
    return {"count": entry["count"], "of": entry["of"], "people": members(value, entry["of"])}


def _never(rule: Yaml) -> Unmatchable:
    """Return which criteria no job can meet: a job is then not judged by the rule (gate.model.matching)."""
    found = never({key: alternatives(criterion) for key, criterion in rule["match"].items()})
    return {"never": found} if found else {}


def _backend(backend: Yaml, accounts: Accounts) -> Backend:
    return {
        "type": backend["type"],
        **_job_user(backend.get("run_as"), accounts),
        "isolate": backend["isolate"],
        "image": backend["image"],
        "allow_same_user": backend["allow_same_user"],
        "named_home": backend.get("home"),
        "no_new_privileges": backend["no_new_privileges"],
        "path": backend["path"],
        "environment": backend["environment"],
        "limits": _limits(backend["limits"]),
    }


def _page(page: Yaml, accounts: Accounts) -> PageSettings | None:
    """None where the page cannot be served, see `config.page`."""
    user, proxied = accounts.page, page.get("proxy_socket") if accounts.proxy_gid is not None else None
    has_door = bool(proxied or "socket" in page or "listen" in page)
    if user is None or not has_door or not shares_group(user, accounts):
        return None
    return {
        "user": page["user"],
        "uid": user.uid,
        "gid": user.gid,
        "socket": page.get("socket"),
        "listen": listen_of(page),
        "link_socket": link_socket_of(page),
        "login_link": page["login_link"],
        "proxy_socket": proxied,
        "proxy_gid": accounts.proxy_gid,
        "proxy_header": page["proxy_header"],
        "url": url_of(page),
        "bulk": page["bulk"],
    }


def _audit(audit: Yaml) -> AuditSettings:
    return {"rotate_at_bytes": size_bytes(audit["rotate_at"]), "copy_to": audit.get("copy_to")}


def _limits(limits: Yaml) -> dict[str, int]:
    memory = {"memory_bytes": size_bytes(limits["memory"])} if "memory" in limits else {}
    return {key: value for key, value in limits.items() if key == "processes"} | memory


def _job_user(run_as: str | None, accounts: Accounts) -> JobUser:
    user = accounts.run_as[run_as] if run_as else accounts.runner
    if user is None:  # gone from this host: the backend refuses, and only what would run as them
        return {"run_as": run_as, "uid": None, "gid": None, "home": "/"}
    return {"run_as": run_as, "uid": user.uid, "gid": user.gid, "home": user.home}
