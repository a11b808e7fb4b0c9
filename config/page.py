"""The `page` of gate.yaml: a user of its own, who may read requests, and ways in that no job can reach."""

from __future__ import annotations

import os
import shlex

from config.faults import quoted
from config.run_as import leave

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from config.accounts import Accounts, User
    from config.document import Document, Path, Yaml
    from config.faults import Fault
    from config.shapes import Policy

DEFAULT_PORT = 8420
WAYS_IN = ("socket", "listen", "proxy_socket")


def check(document: Document, value: Yaml, accounts: Accounts) -> Iterator[Fault]:
    """Yield the faults of meaning in `page`."""
    page = value.get("page")
    if page is None:
        return
    written = document.value["page"]
    if not any(way in written for way in WAYS_IN):
        message = "no way in: write socket, listen, proxy_socket, or several of them"
        yield document.fault(("page",), message)
    backend = value.get("backend") or {}
    tolerant = bool(backend.get("allow_same_user"))
    if "approvers_group" not in document.value and not tolerant:
        yield document.fault(("page",), "the page needs approvers_group, to read requests: name one")
    for message, fix in _user_asides(page, value, accounts):
        yield document.fault(("page", "user"), message, fix, aside=True)
    for message, fix in _user_faults(page, accounts, tolerant=tolerant):
        yield document.fault(("page", "user"), message, fix)
    yield from _proxy(document, page, value, accounts)
    if "proxy_socket" in page and page["proxy_socket"] in (page.get("socket"), link_socket_of(page)):
        message = "is the proxy's socket too: all who reach that can claim to be anybody, so give it one of its own"
        yield document.fault(("page", "socket"), message)


def listen_of(page: Yaml) -> list[Any] | None:
    """Return [host, port] of `listen`, None where the page is not on TCP."""
    if "listen" not in page:
        return None
    host, _, port = page["listen"].rpartition(":")
    return [host.strip("[]"), int(port)]


def link_socket_of(page: Yaml) -> str | None:
    """Return the path of the socket that hands out login links, beside `socket`.

    None where the page has no `socket`.
    """
    if not page.get("socket"):
        return None
    start, end = os.path.splitext(str(page["socket"]))
    return f"{start}-link{end}"


def url_of(page: Yaml) -> str:
    """Return the address that people use, without a slash at its end."""
    listen = listen_of(page)
    default = f"http://gate.localhost:{listen[1] if listen else DEFAULT_PORT}"
    written: str = page.get("url", default)
    return written.rstrip("/")


def shares_group(user: User, accounts: Accounts) -> bool:
    """Return whether the gate can take the votes of a page that runs as `user`: as root, or by the page's group."""
    return accounts.runner.uid in (0, user.uid) or user.gid in accounts.runner_gids


def absence(policy: Policy, file: str) -> str:
    """Return why a policy has no page: what has gone from the host, or that none is written in `file`."""
    message = "; ".join(aside["message"] for aside in policy["asides"] if aside["of"] == "page")
    return message or f"{file} has no page: add one, see docs/how-to/page.md"


def _user_asides(page: Yaml, value: Yaml, accounts: Accounts) -> Iterator[tuple[str, str]]:
    """Yield what keeps the page from its work and weakens nothing: people answer in other ways until it is fixed."""
    if "user" not in page:
        return
    name, user = quoted(page["user"]), accounts.page
    if user is None:
        fix = f"useradd --system --no-create-home {shlex.quote(page['user'])}"
        yield f"no Unix user {name} on this host: create it, or name another; there is no page until then", fix
        return
    if user.uid == accounts.runner.uid or any(job and job.uid == user.uid for job in accounts.run_as.values()):
        return  # another user is needed, whose groups are another matter
    if accounts.approvers_gid is not None and accounts.approvers_gid not in accounts.page_gids:
        fix = f"usermod --append --groups {value['approvers_group']} {page['user']}"
        yield f"{name} is not in the approvers' group, so the page cannot read requests: {fix}", fix
    if not shares_group(user, accounts):
        message = (
            f"the runner is not root (it is uid {accounts.runner.uid}), and must be in the group of {name}, gid "
            f"{user.gid}, to "
            "take the page's votes: add it there; there is no page until then"
        )
        yield message, f"usermod --append --groups {user.gid} {shlex.quote(accounts.runner.name)}"


def _user_faults(page: Yaml, accounts: Accounts, *, tolerant: bool) -> Iterator[tuple[str, str]]:
    user = accounts.page
    if user is None:
        return
    name = quoted(page["user"])
    if user.uid == accounts.runner.uid:
        if not tolerant:
            yield f"the gate itself runs as {name}, so a page that is broken into could decide: name another user", ""
        return
    if user.uid == 0:
        yield f"the page cannot run as {name}, which is root: name another user", ""
    if any(account and account.uid == user.uid for account in accounts.people.values()):
        yield f"{name} is a person too: name a user that is the page's alone", ""
    yield from _jobs_apart(name, user.uid, user.gid, accounts)


def _jobs_apart(name: str, uid: int, gid: int, accounts: Accounts) -> Iterator[tuple[str, str]]:
    for run_as, job_user in accounts.run_as.items():
        if job_user and job_user.uid == uid:
            yield f"jobs run as {name}, so a job could vote as anybody: name another user", ""
        elif job_user and gid in accounts.run_as_gids[run_as]:
            message = f"{quoted(run_as)}, whom jobs run as, is in the group of {name}: take it out, or name another"
            fix = f'gpasswd --delete {shlex.quote(run_as)} "$(getent group {gid} | cut -d: -f1)"'
            yield message, "" if gid == job_user.gid else fix


def _proxy(document: Document, page: Yaml, value: Yaml, accounts: Accounts) -> Iterator[Fault]:
    written = document.value["page"]
    path: Path = ("page", "proxy_group")
    if "proxy_socket" in written and "proxy_group" not in written:
        message = (
            "'proxy_group' is missing: name the Unix group of the reverse proxy, for instance proxy_group: www-data"
        )
        yield document.fault(("page",), message)
    if "proxy_group" not in page:
        return
    group = quoted(page["proxy_group"])
    if accounts.proxy_gid is None:
        fix = f"groupadd --system {shlex.quote(page['proxy_group'])}"
        message = f"no Unix group {group} on this host: create it, or name another; there is no proxy_socket until then"
        yield document.fault(path, message, fix, aside=True)
        return
    if page["proxy_group"] == value.get("approvers_group"):
        message = f"{group} is the approvers' group too, and each of them could claim to be another: name the proxy's"
        yield document.fault(path, message)
    for run_as, gids in accounts.run_as_gids.items():
        if accounts.proxy_gid in gids:
            message = f"{quoted(run_as)}, whom jobs run as, is in {group}, and could claim to be anybody: take it out"
            yield document.fault(path, message, leave(run_as, page["proxy_group"]))
