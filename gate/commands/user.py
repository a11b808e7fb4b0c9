"""`gate user`: passwords for people who log in to the page on TCP."""

from __future__ import annotations

import json
import os
import pwd
import sys
from typing import TYPE_CHECKING

import click

from config.load import load_policy_as_reader
from config.page import absence
from gate.commands.fault import CommandError
from gate.commands.group import Group
from gate.commands.options import json_option
from gate.model.words import listed, shown
from gate.store import layout

if TYPE_CHECKING:
    from gate.page.auth.accounts import Accounts
    from gate.shapes import Policy

_JSON = json_option("JSON on stdout.")
_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from stdin: its first line.")


@click.group(cls=Group)
def user() -> None:
    """Passwords for the page.

    For people who log in to it by TCP; to be run as root, or as the page's user.
    """


@user.command()
@click.argument("person")
@_STDIN
@_JSON
@click.pass_obj
def add(config: str, password_stdin: bool, person: str, as_json: bool) -> None:
    """Give PERSON, whom gate.yaml names, a password for the page."""
    accounts, policy = _accounts(config), _policy(config)
    if person not in policy["people"]:
        raise CommandError(f"{shown(person)} is not in gate.yaml, which names {listed(list(policy['people']), 'and')}")
    if accounts.get(person):
        raise CommandError(f"{person} has a password already: `gate user passwd {person}` changes it")
    _set(accounts, person, exists=False, from_stdin=password_stdin)
    _tell(f"{person} can log in at {layout.page_settings(policy)['url']}/", person, as_json=as_json)
    if layout.page_settings(policy)["listen"] is None:
        click.echo("note: page in gate.yaml has no `listen`, so there is nowhere to log in yet", err=True)


@user.command()
@click.argument("person")
@_STDIN
@_JSON
@click.pass_obj
def passwd(config: str, password_stdin: bool, person: str, as_json: bool) -> None:
    """Change PERSON's password; all their sessions end."""
    accounts = _accounts(config)
    if not _exists(accounts, person):
        raise CommandError(f"{shown(person)} has no password: `gate user add` gives one")
    _set(accounts, person, exists=True, from_stdin=password_stdin)
    _tell(f"{person} has another password, and has to log in again", person, as_json=as_json)


@user.command()
@click.argument("person")
@_JSON
@click.pass_obj
def remove(config: str, person: str, as_json: bool) -> None:
    """Take PERSON's password away; all their sessions end."""
    accounts = _accounts(config)
    if not _exists(accounts, person) or not accounts.remove(person):
        raise CommandError(f"{shown(person)} has no password")
    _tell(f"{person} cannot log in any more", person, as_json=as_json)


@user.command("list")
@_JSON
@click.pass_obj
def list_(config: str, as_json: bool) -> None:
    """Everybody who has a password, one a line."""
    policy = _policy(config)
    people = _accounts(config).people()
    if as_json:
        known = [{"person": person, "in_gate_yaml": person in policy["people"]} for person in people]
        click.echo(json.dumps(known, indent=2))
        return
    for person in people:
        note = "" if person in policy["people"] else "  (nobody in gate.yaml, and cannot log in)"
        click.echo(f"{shown(person)}{note}")


def _tell(message: str, person: str, *, as_json: bool) -> None:
    click.echo(json.dumps({"person": person, "message": message}, indent=2) if as_json else message)


def _policy(config: str) -> Policy:
    policy, _digest = load_policy_as_reader(config)
    if policy["page"] is None:
        raise CommandError(absence(policy, config))
    return policy


def _exists(accounts: Accounts, person: str) -> bool:
    return person in accounts.people()  # never a path made of what was typed


def _accounts(config: str) -> Accounts:
    """The page's accounts, once this process is the page's user: root must not write in another user's directory."""
    from gate.page.auth.accounts import Accounts

    policy = _policy(config)
    page = layout.page_settings(policy)
    if os.geteuid() == 0 != page["uid"]:
        entry = pwd.getpwuid(page["uid"])
        os.initgroups(entry.pw_name, page["gid"])
        os.setgid(page["gid"])
        os.setuid(page["uid"])
    if os.geteuid() != page["uid"]:
        raise CommandError(f"only root and {page['user']} can do that: try sudo")
    return Accounts(layout.own_page(policy))


def _set(accounts: Accounts, person: str, *, exists: bool, from_stdin: bool) -> None:
    from gate.page.auth.accounts import AccountError

    if from_stdin:
        password = sys.stdin.buffer.readline().rstrip(b"\n").decode("utf-8", "surrogateescape")
    else:
        password = click.prompt(f"Password for {person}", hide_input=True, confirmation_prompt=True, err=True)
    try:
        accounts.set_password(person, password, exists=exists)
    except AccountError as error:
        raise CommandError(str(error)) from error
