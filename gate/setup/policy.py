"""The answers to `gate init` -> a gate.yaml to start from: two rules, which ask any one of the approvers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.template import written
from gate.setup.answers import APPROVERS_GROUP, PAGE_USER

if TYPE_CHECKING:
    from config.document import Yaml
    from gate.setup.answers import Answers

# GitLab ends a job after 1 h by default, and 10 min of that are kept for it to run (gate.model.rules.reserve): with
# more than the rest, each job would be warned that it has less.
DECIDE_WITHIN = "45m"

_RULE_NOTES = {
    "production": (
        "Jobs of protected branches and tags, which is what deploys. `count: 2` asks two people. Jobs that "
        "set a variable"
        " which carries code, such as BASH_ENV or PATH, are refused."
    ),
    "everything-else": "Every other job that comes to this runner. Without this rule they are refused.",
}


def text_of(answers: Answers) -> str:
    """Return the text of gate.yaml, with comments."""
    return written(_value(answers), _RULE_NOTES)


def _value(answers: Answers) -> Yaml:
    group = _group_name(answers)
    approvals = {"approvals": [{"count": 1, "of": [group]}]}
    reasons = {"comment": {"approve": "optional", "reject": "required"}}
    no_code = {"variables": {"deny": ["code"]}}
    own_group = {"approvers_group": APPROVERS_GROUP} if answers.has_users else {}
    return {
        "version": 1,
        "site": answers.site,
        "state_dir": answers.state_dir,
        **own_group,
        "people": {each.person: _person(each.unix, each.gitlab_id) for each in answers.approvers},
        "groups": {group: [each.person for each in answers.approvers]},
        "rules": [
            {"name": "production", "match": {"protected": True}, **approvals, "decide_within": DECIDE_WITHIN}
            | {"self_approval": False, **reasons, **no_code},
            {"name": "everything-else", "match": {}, **approvals, "decide_within": DECIDE_WITHIN, **no_code},
        ],
        "backend": _backend(answers),
        **({"page": _page(answers)} if answers.page else {}),
    }  # fmt: skip


def _person(unix: str, gitlab_id: int | None) -> Yaml:
    return {"unix": unix} | ({} if gitlab_id is None else {"gitlab": [gitlab_id]})


def _group_name(answers: Answers) -> str:
    """A group must not be called like a person."""
    name, people = "approvers", {each.person for each in answers.approvers}
    while name in people:
        name += "-all"
    return name


def _backend(answers: Answers) -> Yaml:
    if answers.run_as is not None:
        return {"type": "shell", "run_as": answers.run_as, "isolate": "pid_namespace"}
    isolate = "pid_namespace" if answers.has_users else "process_group"  # only root can make the former
    return {"type": "shell", "isolate": isolate, "allow_same_user": True}


def _page(answers: Answers) -> Yaml:
    return {"user": PAGE_USER if answers.has_users else answers.runner.name, "socket": answers.page_socket}
