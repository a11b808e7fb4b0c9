"""What somebody who is to approve a job must not overlook, beside its script: for page, job log and `gate show`. Pure.

Each is one phrase; what a job's author wrote stands in it as it is; the code that shows it escapes it.
"""

from __future__ import annotations

from gate.model.code_variables import what_it_does
from gate.model.matching import images_words
from gate.model.words import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Backend, Beside, Facts

NAMED_MAX = 20  # names in one phrase; the variables themselves are all listed elsewhere


def of(facts: Facts, content: Beside | None) -> list[str]:
    """All of them; image and services first, since by these every command of the script is another."""
    return [*images(facts), *variables(facts), *unknown(content), *claims(facts)]


def images(facts: Facts) -> list[str]:
    """That image and services are not used, which changes what every command of the script is."""
    asked = images_words(facts)
    return (
        [f"it asks for {asked}, not used here: its script runs on the host, in the host's own shell"] if asked else []
    )


def variables(facts: Facts) -> list[str]:
    """Variables that carry code, grouped by what they do; not those of which `checkout` tells more."""
    told = [setting.partition("=")[0] for setting in facts["checkout"]]
    groups: dict[str, list[str]] = {}
    for name in [name for name in facts.get("variables", []) if name not in told]:
        what = what_it_does(name)
        if what:
            groups.setdefault(what, []).append(name)
    return [f"it sets {_names(names)}: such variables {what}" for what, names in groups.items()]


def host(needs: list[str], job_backend: Backend) -> list[str]:
    """What the job will not find where it runs, which was looked up when it came, and what it can get at there."""
    if job_backend.get("no_new_privileges", True):
        return needs
    return [*needs, "it may become root by sudo (no_new_privileges is off), and so get at other jobs, and at the gate"]


def unknown(content: Beside | None) -> list[str]:
    """Fields that this gate does not know."""
    names = [each["field"] for each in (content.get("unknown", []) if content else [])]
    if not names:
        return []
    fields = "a field" if len(names) == 1 else "fields"
    return [
        f"it has {fields} that this version of the gate does not know: {_names(names)}; what it does is not known here"
    ]


def claims(facts: Facts) -> list[str]:
    """What the job says of itself that is not so, or not all: of GitLab's variables, the checkout, its environment."""
    found = []
    if facts["overridden"]:
        found.append(
            f"the job's own variables set {_names(facts['overridden'])} to something else; the gate goes by "
            "what GitLab says"
        )
    if facts["checkout"]:
        found.append(f"{_names(facts['checkout'])}: what runs may not be what the sha says, it is not checked out")
    if len(facts["environments"]) > 1:
        found.append(f"it claims several environments: {_names(facts['environments'])}")
    return found


def _names(names: list[str]) -> str:
    more = len(names) - NAMED_MAX
    return listed([*names[:NAMED_MAX], f"{more} more"], "and") if more > 0 else listed(names, "and")
