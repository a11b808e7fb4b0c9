"""The people and groups of gate.yaml: names that exist, and people told apart by every way that they come in."""

from __future__ import annotations

from itertools import chain

from config import ssh_keys
from config.faults import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from typing import Any

    from config.accounts import Accounts, User
    from config.document import Document, Path, Yaml
    from config.faults import Fault

_AT_PROXY = "the proxy's name"
RESERVED = "signed"  # drop/signed/ is where signed drops go


def check(document: Document, value: Yaml, accounts: Accounts) -> Iterator[Fault]:
    """Yield the faults of meaning in the sections `people` and `groups`."""
    if RESERVED in value.get("people", {}):
        message = f"the name {RESERVED!r} is taken by the directory of signed drops: choose another"
        yield document.key_fault(("people", RESERVED), message)
    yield from _keys(document, value)
    yield from _told_apart(document, value, accounts)
    yield from _groups(document, value)


def names(document: Document, section: str) -> list[str]:
    """Return the keys that a section such as `people` has in the file, those whose value has a fault too."""
    found = document.value.get(section)
    return list(found) if isinstance(found, dict) else []


def members(value: Yaml, of: list[Any]) -> list[str]:
    """Return the people that a list of people and groups comes to, each once, in the order of the list."""
    groups = value.get("groups", {})
    everyone = chain.from_iterable(groups.get(name) or [name] for name in of)
    return list(dict.fromkeys(name for name in everyone if name in value.get("people", {})))


def all_usable(document: Document, value: Yaml) -> bool:
    """Return whether every list of people is as the file has it, so that counting them makes sense."""
    people = names(document, "people")
    lists = value.get("groups", {}).values()
    untouched = all(document.value.get(key) == value.get(key) for key in ("people", "groups"))
    return untouched and all(listed and set(listed) <= set(people) for listed in lists)


def unknown(kind: str, name: str, known: list[str]) -> str:
    """Return what to say of a name that is none of the `known` ones."""
    from difflib import get_close_matches

    nearest = get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "add it under people, or remove it here"
    return f"no {kind} {quoted(name)}: {hint}"


def _keys(document: Document, value: Yaml) -> Iterator[Fault]:
    for name, person in value.get("people", {}).items():
        for i, line in enumerate(person.get("ssh_keys", [])):
            message = ssh_keys.fault(line) if line is not None else None
            if message:
                yield document.fault(("people", name, "ssh_keys", i), message)


def _told_apart(document: Document, value: Yaml, accounts: Accounts) -> Iterator[Fault]:
    """Yield a fault for each mark (uid, GitLab name or id, SSH key, proxy's name) that another person has already."""
    # A person's own name is theirs at the proxy too, wherever in the file they stand.
    holders: dict[tuple[str, Hashable], str] = {(_AT_PROXY, name): name for name in names(document, "people")}
    for name, person in value.get("people", {}).items():
        for path, mark in _marks(name, person, accounts.people.get(name)):
            holder = holders.setdefault(mark, name)
            if holder != name:
                message = f"{mark[0]} {quoted(mark[1])} is {holder}'s already: one human is one person, remove one"
                yield document.fault(path, message)


def _marks(name: str, person: Yaml, user: User | None) -> Iterator[tuple[Path, tuple[str, Hashable]]]:
    here: Path = ("people", name)
    if "unix" in person:
        not_found = ("the Unix user", person["unix"])
        yield (*here, "unix"), ("the uid", user.uid) if user else not_found
    for i, account in enumerate(person.get("gitlab", [])):
        if isinstance(account, int):
            yield (*here, "gitlab", i), ("the GitLab id", account)
        elif account is not None:
            yield (*here, "gitlab", i), ("the GitLab name", account.casefold())
    for i, line in enumerate(person.get("ssh_keys", [])):
        if line is not None and ssh_keys.fault(line) is None:
            yield (*here, "ssh_keys", i), ("the SSH key", ssh_keys.fingerprint(line))
    for i, sent in enumerate(person.get("proxy", [])):
        if sent is not None:
            yield (*here, "proxy", i), (_AT_PROXY, sent)


def _groups(document: Document, value: Yaml) -> Iterator[Fault]:
    people, groups = names(document, "people"), names(document, "groups")
    for group, listed in value.get("groups", {}).items():
        if group in people:
            yield document.key_fault(("groups", group), f"{quoted(group)} is a person too: rename the group")
        for i, member in enumerate(listed):
            if member is None or member in people:
                continue
            message = f"{quoted(member)} is a group: list the people in it" if member in groups else None
            yield document.fault(("groups", group, i), message or unknown("person", member, people))
