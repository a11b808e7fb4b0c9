"""`gate page`: serve the approval page; and `gate page link`, to log in to it through `ssh -L`."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from config.host import reason
from config.load import load_policy_as_reader
from gate.commands.fault import CommandError
from gate.commands.group import Group
from gate.commands.options import json_option
from gate.model.words import duration
from gate.store.layout import page_settings

if TYPE_CHECKING:
    from gate.shapes import Policy

ANSWERS_WITHIN_S = 10
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def page(context: click.Context) -> None:
    """Serve the approval page, as its own user.

    `page` in gate.yaml names that user, and where the page listens. A systemd unit does it; see docs/how-to/page.md.
    """
    if context.invoked_subcommand is not None:
        return
    # 30 MiB, which no other command needs.
    from gate.page.app import WrongUserError, run
    from gate.page.listeners import DoorError

    try:
        run(context.obj)
    except (WrongUserError, DoorError) as error:
        raise CommandError(str(error)) from error


@page.command()
@json_option()
@click.pass_obj
def link(config: str, as_json: bool) -> None:
    """Print a one-time address that logs you in to the page.

    For who comes by its Unix socket (`ssh -L`): run it on this host, as yourself, and open the address in your browser.
    """
    policy, _digest = load_policy_as_reader(config)
    _check_wanted(policy, config)
    page_of = page_settings(policy)
    path = str(page_of["link_socket"])
    found = _ask(path, page_of["url"])
    token = str(found.get("address", "")).rpartition("/")[2]
    if not _TOKEN.fullmatch(token):
        raise CommandError(f"{path}: the page gave no address")
    address, within_s = f"{page_of['url']}/link/{token}", int(found["within_s"])
    if as_json:
        click.echo(json.dumps({"address": address, "within_s": within_s}, indent=2))
        return
    click.echo(address)
    click.echo(f"It works once, within {duration(within_s)}, and only where your own `ssh -L` leads here.", err=True)


def _check_wanted(policy: Policy, config: str) -> None:
    page_of = policy["page"]
    if page_of is None or page_of["socket"] is None:
        lacks = "no page" if page_of is None else "no `socket` for its page"
        raise CommandError(f"{config} has {lacks}: there is nothing to log in to by a link, see docs/how-to/page.md")
    if not page_of["login_link"]:
        raise CommandError(f"{config} has login_link: false: just open {page_of['url']}/")
    own = os.geteuid()
    if own == 0 and all(known["uid"] != own for known in policy["people"].values()):
        by = f" ({os.environ['SUDO_USER']})" if os.environ.get("SUDO_USER") else ""
        raise CommandError(
            f"run it as yourself{by}, without sudo: the address is for the person who asks, and root is not one "
            "in gate.yaml"
        )


def _ask(path: str, url: str) -> dict[str, Any]:
    """What the page answers at the socket of the login links."""
    host = urlsplit(url).netloc
    connection = http.client.HTTPConnection(host, timeout=ANSWERS_WITHIN_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(ANSWERS_WITHIN_S)
    headers = {"Host": host, "Origin": url, "Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.sock.connect(path)
        connection.request("POST", "/link", body=b"", headers=headers)
        answer = connection.getresponse()
        content = answer.read(100_000)
    except PermissionError as error:
        raise CommandError(f"{path}: only members of the approvers' group can ask for a link") from error
    except (OSError, http.client.HTTPException) as error:
        why = reason(error) if isinstance(error, OSError) else "no answer that can be understood"
        raise CommandError(f"{path}: {why}: does the page run, of this version? `gate check` tells") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise CommandError(f"{path}: the page says {answer.status}: is its gate.yaml this one? `gate check` tells")
    found: dict[str, Any] = json.loads(content)
    return found
