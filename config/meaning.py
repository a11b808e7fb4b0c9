"""What a well-formed gate.yaml must also hold: names that exist, people told apart, a backend that keeps them apart.

Every check looks at a value in which anything may be missing (what had a fault of form has been taken out), and yields
all that it finds. Names are compared as they stand in the file, also those whose own entry has a fault, so that one
mistake is told once.
"""

from collections.abc import Hashable, Iterator
from difflib import get_close_matches
from itertools import chain
from typing import Any

from config.accounts import Accounts, User
from config.document import Document, Path
from config.faults import Fault, quoted
from config.schema import schema

RESERVED = "signed"  # drop/signed/ is where signed drops go


def check(document: Document, value: dict[str, Any], accounts: Accounts) -> Iterator[Fault]:
    """Yield the faults of meaning in `value`, which is `document.value` without what has a fault of form."""
    yield from _people(document, value)
    yield from _told_apart(document, value, accounts)
    yield from _groups(document, value)
    yield from _rules(document, value)
    yield from _exit_codes(document, value)
    if "approvers_group" in value and accounts.approvers_gid is None:
        group = quoted(value["approvers_group"])
        yield document.fault(("approvers_group",), f"no Unix group {group} on this host: create it, or name another")
    yield from _backend(document, value, accounts)


def names(document: Document, section: str) -> list[str]:
    """Return the keys that a section such as `people` has in the file, those whose value has a fault too."""
    found = document.value.get(section)
    return list(found) if isinstance(found, dict) else []


def members(value: dict[str, Any], of: list[Any]) -> list[str]:
    """Return the people that a list of people and groups comes to, each once, in the order of the list."""
    groups = value.get("groups", {})
    everyone = chain.from_iterable(groups.get(name) or [name] for name in of)
    return list(dict.fromkeys(name for name in everyone if name in value.get("people", {})))


def _people(document: Document, value: dict[str, Any]) -> Iterator[Fault]:
    if RESERVED in value.get("people", {}):
        message = f"the name {RESERVED!r} is taken by the directory of signed drops: choose another"
        yield document.key_fault(("people", RESERVED), message)


def _told_apart(document: Document, value: dict[str, Any], accounts: Accounts) -> Iterator[Fault]:
    """Yield a fault for each mark (uid, GitLab name, GitLab id) that an earlier person has already."""
    holders: dict[tuple[str, Hashable], str] = {}
    for name, person in value.get("people", {}).items():
        for path, mark in _marks(name, person, accounts.people.get(name)):
            holder = holders.setdefault(mark, name)
            if holder != name:
                message = f"{mark[0]} {quoted(mark[1])} is {holder}'s already: one human is one person, remove one"
                yield document.fault(path, message)


def _marks(name: str, person: dict[str, Any], user: User | None) -> Iterator[tuple[Path, tuple[str, Hashable]]]:
    here: Path = ("people", name)
    if "unix" in person:
        unknown = ("the Unix user", person["unix"])
        yield (*here, "unix"), ("the uid", user.uid) if user else unknown
    for i, account in enumerate(person.get("gitlab", [])):
        if isinstance(account, int):
            yield (*here, "gitlab", i), ("the GitLab id", account)
        elif account is not None:
            yield (*here, "gitlab", i), ("the GitLab name", account.casefold())


def _groups(document: Document, value: dict[str, Any]) -> Iterator[Fault]:
    people, groups = names(document, "people"), names(document, "groups")
    for group, listed in value.get("groups", {}).items():
        if group in people:
            yield document.key_fault(("groups", group), f"{quoted(group)} is a person too: rename the group")
        for i, member in enumerate(listed):
            if member is None or member in people:
                continue
            message = f"{quoted(member)} is a group: list the people in it" if member in groups else None
            yield document.fault(("groups", group, i), message or _unknown("person", member, people))


def _unknown(kind: str, name: str, known: list[str]) -> str:
    nearest = get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "add it under people, or remove it here"
    return f"no {kind} {quoted(name)}: {hint}"


def _rules(document: Document, value: dict[str, Any]) -> Iterator[Fault]:
    seen: set[str] = set()
    for i, rule in enumerate(value.get("rules", [])):
        name = (rule or {}).get("name")
        if name in seen:
            yield document.fault(("rules", i, "name"), f"another rule is called {quoted(name)}: rename one")
        seen.update([name] if name else [])
        for j, approval in enumerate((rule or {}).get("approvals", [])):
            yield from _approval(document, value, ("rules", i, "approvals", j), approval or {})


def _approval(document: Document, value: dict[str, Any], path: Path, approval: dict[str, Any]) -> Iterator[Fault]:
    known = [*names(document, "people"), *names(document, "groups")]
    of = approval.get("of", [])
    unknown = [(i, name) for i, name in enumerate(of) if name is not None and name not in known]
    for i, name in unknown:
        yield document.fault((*path, "of", i), _unknown("person or group", name, known))
    count, reachable = approval.get("count", 0), len(members(value, of))
    if count > reachable and of and not unknown and _all_usable(document, value):
        message = f"{count} approvals are asked for, of {reachable} at most: lower the count, or add people"
        yield document.fault((*path, "count"), message)


def _all_usable(document: Document, value: dict[str, Any]) -> bool:
    """Return whether every list of people is as the file has it, so that counting them makes sense."""
    people = names(document, "people")
    lists = value.get("groups", {}).values()
    untouched = all(document.value.get(key) == value.get(key) for key in ("people", "groups"))
    return untouched and all(listed and set(listed) <= set(people) for listed in lists)


def _exit_codes(document: Document, value: dict[str, Any]) -> Iterator[Fault]:
    written = value.get("exit_codes", {})
    known = schema()["properties"]["exit_codes"]["properties"]
    defaults = {name: part["default"] for name, part in known.items() if name not in names(document, "exit_codes")}
    users = {code: f"the default of {name!r}" for name, code in defaults.items()}
    for name, code in written.items():
        if code in users:
            message = f"{code} is {users[code]} already: give each outcome a code of its own"
            yield document.fault(("exit_codes", name), message)
        users.setdefault(code, f"the code of {name!r}")


def _backend(document: Document, value: dict[str, Any], accounts: Accounts) -> Iterator[Fault]:
    backend = value.get("backend")
    if backend is None:
        return
    written = document.value["backend"]
    # A misspelt answer is told once, and not again as if it had been no.
    tolerant = backend.get("allow_same_user", "allow_same_user" in written)
    if "run_as" not in written and not tolerant:
        yield document.fault(
            ("backend",),
            "'run_as' is missing: name the Unix user that jobs run as (or, to try things out, allow_same_user: true)",
        )
    if "run_as" in backend:
        for message in _run_as(quoted(backend["run_as"]), value, accounts, tolerant=tolerant):
            yield document.fault(("backend", "run_as"), message)


def _run_as(name: str, value: dict[str, Any], accounts: Accounts, *, tolerant: bool) -> Iterator[str]:
    user, runner = accounts.run_as, accounts.runner
    if user is None:
        yield f"no Unix user {name} on this host: create it, or name another"
        return
    yield from _wrong_uid(name, user.uid, runner.uid, tolerant=tolerant)
    person = next((who for who, account in accounts.people.items() if account and account.uid == user.uid), None)
    if person and not tolerant:
        yield f"{name} is the person {person!r} too, so a job could approve as {person}: name another user"
    if accounts.approvers_gid in accounts.run_as_gids:
        group = quoted(value["approvers_group"])
        yield f"{name} is in the approvers' group {group}: take it out of the group, or name another user"


def _wrong_uid(name: str, uid: int, runner: int, *, tolerant: bool) -> Iterator[str]:
    if uid == runner:
        if not tolerant:
            yield f"the gate itself runs as {name}, so a job could approve itself: name another user"
    elif uid == 0:
        yield f"jobs cannot run as {name}, which is root: name another user"
    elif runner != 0:
        yield (
            f"a runner that is not root (it is uid {runner}) cannot switch user to {name}: run it as root, or (to try "
            "things out) leave run_as out and write allow_same_user: true"
        )
