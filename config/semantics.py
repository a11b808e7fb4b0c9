"""What a well-formed gate.yaml must also hold: names that exist, people told apart, a backend that keeps them apart.

Every check looks at a value in which anything may be missing (what had a fault of form has been taken out), and yields
all that it finds. Names are compared as they stand in the file, also those whose own entry has a fault, so that one
mistake is reported once.
"""

from __future__ import annotations

import shlex

from config import notice, page, people, rules, run_as
from config.faults import quoted
from config.policy import seconds
from config.schema import schema, with_defaults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.accounts import Accounts
    from config.document import Document, Yaml
    from config.faults import Fault


def check(document: Document, value: Yaml, accounts: Accounts) -> Iterator[Fault]:
    """Yield the faults of meaning in `value`, which is `document.value` without what has a fault of form."""
    yield from people.check(document, value, accounts)
    yield from rules.check(document, value)
    yield from _exit_codes(document, value)
    if "approvers_group" in value and accounts.approvers_gid is None:
        group = quoted(value["approvers_group"])
        message = f"no Unix group {group} on this host: create it, or name another"
        yield document.fault(
            ("approvers_group",), message, f"groupadd --system {shlex.quote(value['approvers_group'])}"
        )
    yield from run_as.check(document, value, accounts)
    yield from page.check(document, value, accounts)
    yield from notice.check(document, value)
    yield from _keep(document, value)


def _exit_codes(document: Document, value: Yaml) -> Iterator[Fault]:
    written = value.get("exit_codes", {})
    known = schema()["properties"]["exit_codes"]["properties"]
    named = people.names(document, "exit_codes")
    users = {part["default"]: f"the default of {name!r}" for name, part in known.items() if name not in named}
    for name, code in written.items():
        if code in users:
            message = f"{code} is {users[code]} already: give each outcome a code of its own"
            yield document.fault(("exit_codes", name), message)
        users.setdefault(code, f"the code of {name!r}")


def _keep(document: Document, value: Yaml) -> Iterator[Fault]:
    keep = with_defaults({"keep": value.get("keep", {})})["keep"]
    if seconds(keep["log"]) < seconds(keep["requests"]):
        message = (
            f"log: {keep['log']} is less than requests: {keep['requests']}: the log is what is left of a request, so "
            "keep it as long"
        )
        yield document.fault(("keep", "log" if "log" in value["keep"] else "requests"), message)
