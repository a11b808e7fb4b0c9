"""docs/reference/variables.md, made of gate/model/code_variables.py and gate/model/predefined.py.

`make docs` renews it.
"""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

from gate.model.code_variables import ALL, SETS
from gate.model.predefined import ALWAYS, PERSISTED, SOMETIMES, USER

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 120
_HEAD = f"""\
# Variables

What the gate knows of variables by their names. `make docs` makes this page of gate/model/code_variables.py and
gate/model/predefined.py.

## Variables that carry code

A reviewed script runs something different when one of these is set beside it. Page, job log and `gate show` warn of
each that was set by anybody but GitLab. A rule with `variables: {{deny: [{ALL}]}}` refuses such a job before anybody is
asked; that is what `gate init` writes. Instead of all (`{ALL}`) a rule can name some of the sets, and patterns of its
own ([how to](../how-to/rules.md#variables)). Patterns are as in a shell: `*`, `?`, `[…]`. Upper and lower case differ.
"""
_OWN = """\
## Variables that GitLab sets

The first occurrence of such a name is GitLab's own; a later one, and every other name, was set by somebody other than
GitLab and is shown ([ADR 25](../adr/0025-variables.md)). Behind some stands since which version of GitLab it is set: in
the jobs of an older one, it is an author's.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, (what, source, patterns) in SETS.items():
        about = _filled(f"**`{name}`** {what}. Source: {source}.")
        parts.append(f"{about}\n\n{_listed(patterns)}\n")
    parts.append(_OWN)
    parts.append(f"For every job, those of a security policy too:\n\n{_listed(PERSISTED)}\n")
    versions = [f"{name} ({'.'.join(map(str, since))})" if since > (0, 0) else name for name, since in ALWAYS.items()]
    parts.append(f"For every other job:\n\n{_listed(versions)}\n")
    parts.append(
        "For every other job, but behind an author's: where one stands several times, all are shown.\n\n"
        f"{_listed(sorted(USER))}\n"
    )
    parts.append(
        "For some jobs, or since a version that is not known. Where GitLab sets none, an author can, so these are shown as\n"
        f"perhaps GitLab's:\n\n{_listed(SOMETIMES)}\n"
    )
    return "\n".join(parts)


def _listed(names: Iterable[str]) -> str:
    quoted = ", ".join(f"`{name}`".replace(" (", "` (").replace(")`", ")") for name in names)
    return _filled(f"{quoted}.")


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(page())
