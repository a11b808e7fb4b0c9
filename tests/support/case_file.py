"""A conformance case, tests/cases/<group>/<name>.yaml: what is in it, and the gate and the job response that it comes to."""

from __future__ import annotations

import copy
import dataclasses
import json
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
import yaml

from executor.rehearsal.sample import sample_job
from tests.support.jobs import variable
from tests.support.site import IS_ROOT, USERS, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Path(__file__).parents[1] / "cases"
RESPONSES = Path(__file__).parents[1] / "responses"
RAN = "THE SCRIPT RAN"
DEFAULT_RUNNER = "19.3.0"
DECIDE_WITHIN = "2m"
DECIDE_WITHIN_UNASKED = "5s"  # where nobody votes: a job that waits though it should be refused does not wait long


class Vote(NamedTuple):
    """One drop."""

    who: str
    answer: str
    comment: str
    early: bool
    passed_over: bool


@dataclasses.dataclass(frozen=True)
class Case:
    """One file, with one of the runners that it names."""

    path: Path
    runner: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """As in the test's id: the file's path, and the runner where the file names several."""
        path = str(self.path.relative_to(CASES).with_suffix(""))
        return f"{path}@{self.runner}" if len(_runners(self.content)) > 1 else path

    @property
    def expect(self) -> dict[str, Any]:
        """What must come out."""
        found: dict[str, Any] = self.content["expect"]
        return found

    @property
    def voters(self) -> list[str]:
        """Everybody who votes, once."""
        votes = [*self.votes(), *self.earlier_votes()]
        return list(dict.fromkeys(vote.who for vote in votes))

    def votes(self) -> list[Vote]:
        """The votes on the case's own job."""
        return [_vote(each) for each in self.content.get("votes", [])]

    def earlier_votes(self) -> list[Vote]:
        """The votes on the job that came before."""
        return [_vote(each) for each in self.content.get("earlier", {}).get("votes", [])]

    def job(self) -> dict[str, Any]:
        """The case's own job response."""
        return self._response(self.content.get("job", {}))

    def earlier_job(self) -> dict[str, Any]:
        """The response of the job that came before: its number stands in all that GitLab makes of it."""
        job = self._response({**self.content.get("job", {}), **self.content["earlier"]["job"]})
        earlier: dict[str, Any] = json.loads(json.dumps(job).replace(str(job["id"]), str(job["id"] - 1)))
        return earlier

    def site(self) -> CaseSite:
        """The case's gate."""
        base = yaml.safe_load((CASES / "base.yaml").read_text(encoding="utf-8"))
        config = {key: self.content.get(key, base[key]) for key in base}
        if not IS_ROOT:
            config["people"] = _with_one_user(config["people"], self.voters)
        decide_within = DECIDE_WITHIN if self.voters else DECIDE_WITHIN_UNASKED
        rules = [{"decide_within": decide_within, **rule} for rule in self.content["rules"]]
        return CaseSite(**config, rules=rules)

    def _response(self, changes: dict[str, Any]) -> dict[str, Any]:
        job = _base(self.runner)
        for path in changes.get("remove", []):
            _holder(job, path).pop(path.rpartition(".")[2])
        for path, value in changes.get("set", {}).items():
            _holder(job, path)[path.rpartition(".")[2]] = value
        without = changes.get("without", [])
        missing = set(without) - {each["key"] for each in job["variables"]}
        assert not missing, f"{self.path}: the job response of {self.runner} has no variables {missing}"
        kept = [each for each in job["variables"] if each["key"] not in without]
        job["variables"] = [*_variables(changes.get("first", {})), *kept, *_variables(changes.get("append", {}))]
        script = next(step for step in job["steps"] if step["name"] == "script")
        script["script"] = [f"echo {RAN.replace(' ', '_')} | tr _ ' '", *changes.get("script", script["script"])]
        return job


class CaseSite(Site):
    """The gate of a case, with the people of the case."""

    def uid(self, person: str) -> int:
        """The person's uid on this host."""
        return pwd.getpwnam(self.config["people"][person]["unix"]).pw_uid


def load_all() -> Iterator[Case]:
    """All cases, each once for each of its runners.

    Raises:
        jsonschema.ValidationError: one is not of the form that schema.yaml gives; it names the file.
    """
    schema = yaml.safe_load((CASES / "schema.yaml").read_text(encoding="utf-8"))
    for path in sorted(CASES.glob("*/*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        try:
            jsonschema.validate(content, schema)
        except jsonschema.ValidationError as error:
            error.message = f"{path}: {error.message}"
            raise
        yield from (Case(path, runner, content) for runner in _runners(content))


def _runners(content: dict[str, Any]) -> list[str]:
    return list(content.get("job", {}).get("runners", [DEFAULT_RUNNER]))


def _vote(entry: dict[str, Any]) -> Vote:
    (answer,) = {"approve", "reject"} & entry.keys()
    return Vote(entry["who"], answer, entry[answer], entry.get("early", False), entry.get("passed_over", False))


def _with_one_user(people: dict[str, Any], voters: list[str]) -> dict[str, Any]:
    """Without root there is one Unix user, who is the person that votes."""
    first = next(iter(voters or people))
    (user,) = USERS.values()
    without = {name: {key: value for key, value in person.items() if key != "unix"} for name, person in people.items()}
    # A person needs one way in; those of the cases who have but their Unix user are told apart by a GitLab name.
    kept = {name: person or {"gitlab": [f"{name}-elsewhere"]} for name, person in without.items()}
    return {**kept, first: {**without[first], "unix": user}}


def _base(runner: str) -> dict[str, Any]:
    if runner == "sample":
        return copy.deepcopy(sample_job())
    response: dict[str, Any] = json.loads((RESPONSES / f"{runner}.json").read_text(encoding="utf-8"))
    return response


def _holder(job: dict[str, Any], path: str) -> dict[str, Any]:
    holder = job
    for name in path.split(".")[:-1]:
        holder = holder[name]
    return holder


def _variables(given: dict[str, str] | list[dict[str, str]]) -> list[dict[str, Any]]:
    mappings = [given] if isinstance(given, dict) else given
    return [variable(key, value) for mapping in mappings for key, value in mapping.items()]
