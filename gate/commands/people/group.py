"""`gate people add|remove|list`: the people of gate.yaml, changed with its comments kept."""

from __future__ import annotations

import json
import os
import shlex
from difflib import unified_diff
from typing import TYPE_CHECKING

import click

from config.accounts import SystemHost
from config.load import load_policy_as_reader
from config.parser import parse
from gate.commands.fault import CommandError
from gate.commands.group import Group
from gate.commands.people.edit import adding, edited, lists_of, removing
from gate.commands.people.replace import Replaced, replace
from gate.model.rules import people_of
from gate.model.words import listed, shown
from gate.store import layout
from gate.store.files import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.document import Yaml
    from gate.shapes import Policy

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print the change and make none.")


@click.group(cls=Group)
def people() -> None:
    """Who may answer: the people of gate.yaml."""


@people.command()
@click.argument("person")
@click.option("--unix", metavar="USER", help="Their Unix user on this host. Default: PERSON, if there is such a user.")
@click.option("--gitlab", metavar="NAME|ID", multiple=True, help="Their GitLab user name, and numeric id.")
@click.option("--ssh-key", metavar="LINE", multiple=True, help="The line of a .pub file, for signed drops.")
@click.option("--proxy", metavar="NAME", multiple=True, help="What the page's reverse proxy calls them.")
@click.option("--group", metavar="GROUP", multiple=True, help="A group of gate.yaml that they join.")
@_DRY_RUN
@_JSON
@click.pass_obj
def add(
    config: str,
    person: str,
    unix: str | None,
    gitlab: tuple[str, ...],
    ssh_key: tuple[str, ...],
    proxy: tuple[str, ...],
    group: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add PERSON to gate.yaml.

    Its comments stay, and it is checked before it is written. Jobs that wait go by it at once.
    """
    numbers = [int(each) if each.isdecimal() else each for each in gitlab]
    given = {
        "unix": _unix(person, unix, is_needed=not (ssh_key or proxy)),
        "gitlab": numbers,
        "ssh_keys": list(ssh_key),
        "proxy": list(proxy),
    }
    known = {key: value for key, value in given.items() if value}

    def edit(text: str, policy: Policy) -> str:
        if person in policy["people"]:
            raise CommandError(f"{person} is in gate.yaml already: edit it by hand to change what it says")
        unknown = [each for each in group if each not in policy["groups"]]
        if unknown:
            names = listed(list(policy["groups"]), "and") or "none"
            raise CommandError(f"no group {shown(unknown[0])!r} in gate.yaml, which has {names}; nothing was changed")
        return edited(text, config, adding(person, known, list(dict.fromkeys(group))))

    done = replace(config, edit, dry_run=dry_run)
    notes = [
        *_answers(done.new, person),
        *(() if dry_run else _drops(done.new, person)),
        *_membership(done.new, person),
    ]
    _tell(done, person, [f"{person} {'would be' if dry_run else 'is'} in {config}"], notes, as_json=as_json)


@people.command()
@click.argument("person")
@_DRY_RUN
@_JSON
@click.pass_obj
def remove(config: str, person: str, dry_run: bool, as_json: bool) -> None:
    """Remove PERSON from gate.yaml, and from every group and rule that names them.

    Nothing is changed where a rule could then not be met, or a group would be empty. Votes of theirs on jobs that
    wait do not count any more.
    """
    named: list[str] = []

    def edit(text: str, policy: Policy) -> str:
        if person not in policy["people"]:
            raise CommandError(
                f"{shown(person)} is not in gate.yaml, which names {listed(list(policy['people']), 'and')}"
            )
        named.extend(what for what, each in lists_of(parse(text.encode(), config).value).items() if person in each)
        return edited(text, config, removing(person))

    done = replace(config, edit, dry_run=dry_run)
    head = f"{person} {'would be' if dry_run else 'is'} removed from {config}"
    places = [f"also from {place}" for place in named]
    _tell(done, person, [head, *places], list(_left(done.old, person)), as_json=as_json)


@people.command("list")
@_JSON
@click.pass_obj
def list_(config: str, as_json: bool) -> None:
    """Everybody in gate.yaml: how they come in, and which rules ask them."""
    policy, _digest = load_policy_as_reader(config)
    rows = [_row(policy, person) for person in policy["people"]]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        groups = f"  in {listed(row['groups'], 'and')}" if row["groups"] else ""
        click.echo(f"{row['person']}  {'; '.join(row['ways'])}{groups}\n    {_asked(row['rules'])}")


def _row(policy: Policy, person: str) -> Yaml:
    return {
        "person": person,
        "unix": policy["people"][person]["unix"],
        "groups": [name for name, members in policy["groups"].items() if person in members],
        "rules": _rules(policy, person),
        "ways": _ways(policy, person),
    }


def _ways(policy: Policy, person: str) -> list[str]:
    """How gate.yaml says that they come in; whether each way is open, `gate check` says."""
    known = policy["people"][person]
    gone = "" if known["uid"] is not None else ", who is not on this host"
    ways = [f"Unix user {known['unix']}{gone}"] if known["unix"] else []
    if known["ssh_keys"]:
        ways.append(f"{len(known['ssh_keys'])} SSH key{'s' if len(known['ssh_keys']) > 1 else ''}")
    return ways or ["no Unix user and no SSH key"]


def _rules(policy: Policy, person: str) -> list[str]:
    return [rule["name"] for rule in policy["rules"] if person in people_of(rule)]


def _asked(rules: list[str]) -> str:
    return f"asked by {listed([f'rule {name}' for name in rules], 'and')}" if rules else "no rule asks them"


def _unix(person: str, named: str | None, *, is_needed: bool) -> str | None:
    """The Unix user to write; one that is not there would be a person who cannot answer.

    Raises:
        CommandError: there is no such user.
    """
    user = named or person
    if (named or is_needed) and SystemHost().user(user) is None:
        hint = f"make it first (useradd --create-home {shlex.quote(user)}), or name another with --unix"
        raise CommandError(f"no Unix user {shown(user)!r} on this host: {hint}; nothing was changed")
    return user if named or is_needed else None


def _answers(policy: Policy, person: str) -> Iterator[str]:
    rules = _rules(policy, person)
    yield f"{person}: {_asked(rules)}" + ("" if rules else "; --group, or `of` in a rule, makes them an approver")


def _drops(policy: Policy, person: str) -> Iterator[str]:
    """Make the person's drop directory; the first job does so where this process may not."""
    uid, directory = policy["people"][person]["uid"], layout.drops(policy["state_dir"])
    if uid is None:
        return
    if not os.path.isdir(directory):
        yield f"their drop directory is made when the first job comes: {directory} is not there yet"
        return
    owner = os.lstat(directory).st_uid
    if os.geteuid() not in (0, owner):
        yield "their drop directory is made when the next job comes"
        return
    if owner not in (0, uid):
        yield f"{person} cannot answer by drop: a gate that is not root serves no drop directory but its own uid's"
        return
    try:
        yield layout.make_drop(policy["state_dir"], person, uid) or f"drops: {os.path.join(directory, person)}"
    except StateError as error:
        yield f"{person} cannot answer by drop: {error}"


def _membership(policy: Policy, person: str) -> Iterator[str]:
    """What the person still lacks on this host."""
    user, group, gid = policy["people"][person]["unix"], policy["approvers_group"], policy["approvers_gid"]
    entry = SystemHost().user(user) if user else None
    if entry and group and gid not in SystemHost().gids_of(entry):
        command = f"usermod --append --groups {shlex.quote(group)} {shlex.quote(entry.name)}"
        yield f"{user} is not in {group} and does not see what waits: {command}; then log out and in"


def _left(policy: Policy, person: str) -> Iterator[str]:
    """What of them is still on this host, which gate.yaml does not decide."""
    user, group, gid = policy["people"][person]["unix"], policy["approvers_group"], policy["approvers_gid"]
    entry = SystemHost().user(user) if user else None
    if entry and group and gid in SystemHost().gids_of(entry):
        yield (
            f"{user} still sees what waits, as a member of {group}: gpasswd --delete {shlex.quote(entry.name)} "
            f"{shlex.quote(group)}"
        )
    account = os.path.join(layout.accounts(layout.page(policy["state_dir"])), f"{person}.json")
    if os.path.lexists(account):
        yield f"their password for the page is still kept, and opens it no more: gate user remove {person}"


def _tell(done: Replaced, person: str, lines: list[str], notes: list[str], *, as_json: bool) -> None:
    before, after = done.before.splitlines(), done.after.splitlines()
    diff = list(unified_diff(before, after, "gate.yaml", "gate.yaml", n=1, lineterm=""))
    if as_json:
        click.echo(json.dumps({"person": person, "diff": diff, "message": "; ".join(lines), "notes": notes}, indent=2))
        return
    for line in [*map(shown, diff), "", *lines, *notes]:
        click.echo(line)
