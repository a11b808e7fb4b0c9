"""HTML out of templates; all text by others goes through `exactly` or `comment`, and autoescape stands behind these."""

from __future__ import annotations

import hashlib
import os
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2
from aiohttp import web
from markupsafe import Markup

from audit.log import AuditError
from gate import DEFAULT_CONFIG
from gate.clock import utc_text
from gate.model.facts import triggerer
from gate.model.words import shown
from gate.page import text
from gate.page.state import PAGE

if TYPE_CHECKING:
    from gate.page.auth.visitor import Visitor
    from gate.page.history.index import Index

_HERE = os.path.dirname(os.path.abspath(__file__))
STATIC = {
    "style.css": "text/css",
    **dict.fromkeys(("page.js", "reader.js", "keys.js"), "text/javascript"),
    "icon.svg": "image/svg+xml",
}
MONTH_S = 30 * 86_400
VERSION = "version"  # of what is known, when a request began


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.join(_HERE, "templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "exactly": text.exactly,
        "comment": text.comment,
        "plainly": shown,
        "duration": text.spaced_duration,
        "moment": moment,
    }
    environment.globals |= {"static": _static_url, "triggered_by": triggerer}
    return environment


def utc(wall_ms: float) -> str:
    """A wall time in milliseconds, for people."""
    return utc_text(wall_ms / 1000)


def moment(wall_ms: float) -> Markup:
    """The same as an element: the page's script shows it in the reader's own zone, with UTC on hover."""
    at = utc(wall_ms)
    machine = at.removesuffix(" UTC").replace(" ", "T") + "Z"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(machine, at, at)


def page(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """An answer made of a template; `visitor` is None where the visitor is unknown."""
    state = request.app[PAGE]
    visitor: Visitor | None = request.get("visitor")
    shared = {
        "site": state.policy["site"],
        "visitor": visitor,
        "logs_out": visitor is not None and visitor.session is not None,
        "logout_token": state.tokens.make(visitor.id, "logout") if visitor and visitor.session else "",
        "path": request.path,
        "version": request[VERSION],
        "same_user": state.policy["backend"]["allow_same_user"],
        "fault": state.rulebook.fault,
        "log_fault": state.log_fault,
        "reading": None if state.is_current or state.log_fault else _taken_in(state.index),
    }
    html = _templates().get_template(template).render({**shared, **values})
    return web.Response(status=status, text=html, content_type="text/html")


def _taken_in(index: Index) -> tuple[int, int] | None:
    """How much of the log the page has read so far; None where the log cannot be read, which its follower reports."""
    try:
        return index.behind()
    except AuditError:
        return None


def gate_command(request: web.Request, words: str) -> str:
    """A command for people on this host, with the gate.yaml that this page has."""
    config = request.app[PAGE].rulebook.config_file
    return shlex.join(["gate", *([] if config == DEFAULT_CONFIG else ["--config", config]), *words.split()])


def message_page(
    request: web.Request, status: int, words: str, *, link: str = "/", onward: str | None = None, written: str = ""
) -> web.Response:
    """A page that only says something.

    `onward` goes there at once, by itself; `written` is a comment that was not sent.
    """
    title = _title(status)
    return page(
        request, "message.html", status=status, words=words, link=link, onward=onward, written=written, title=title
    )


async def static(request: web.Request) -> web.Response:
    """The stylesheet, the script, the icon."""
    name = request.match_info["name"]
    if name not in STATIC:
        raise web.HTTPNotFound
    answer = web.Response(body=_static(name), content_type=STATIC[name], charset="utf-8")
    # Its address has its digest in it, so it never changes.
    answer.headers["Cache-Control"] = f"public, max-age={MONTH_S}, immutable"
    return answer


@cache
def _static(name: str) -> bytes:
    with open(os.path.join(_HERE, "static", name), "rb") as source:
        return source.read()


def _static_url(name: str) -> str:
    return f"/static/{name}?{hashlib.sha256(_static(name)).hexdigest()[:16]}"


def _title(status: int) -> str:
    titles = {401: "Logged out", 403: "Not allowed", 404: "Not found", 409: "Too late"}
    return titles.get(status, "One moment" if status < 400 else "That did not work")  # noqa: PLR2004
