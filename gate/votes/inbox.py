"""One look at everything that answers a request: the three ways in, beside each other, and the votes that come of them.

Only people of the rule, and who triggered the job, are looked at: what anybody else leaves is the sweep's.
"""

from __future__ import annotations

import os

from audit.descriptor import held_directory
from gate.model.rules import concerned
from gate.store import layout
from gate.votes import from_drops, from_page, from_signed
from gate.votes.ballot import Ballot, votes_on
from gate.votes.drop_file import misnamed, names_of
from gate.votes.signed import names_of as signed_names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Facts, KeptVote, Policy, Rule
    from gate.store.request import Request

LOOK_AGAIN_MS = 1000


class Inbox:
    """A look; `lines` is for the job log."""

    def __init__(
        self,
        request: Request,
        policy: Policy,
        rule: Rule,
        at: Callable[[str], None] = lambda _source: None,
    ) -> None:
        """`policy` and `rule` are those of gate.yaml as it is now.

        `at` is called with each source before it is looked at.
        """
        self.ballot = Ballot(request, policy, rule)
        self.hung: set[str] = set()
        """Sources that did not answer when they were looked at before, and are passed over."""
        self._at = at

    @property
    def lines(self) -> list[str]:
        """What there is to say."""
        return self.ballot.lines

    @property
    def again(self) -> bool:
        """Whether something is not ready."""
        return bool(self.ballot.later)

    def collect(self) -> list[KeptVote]:
        """Take in what has been left; returns all votes on the request, oldest first.

        Raises:
            StateError, AuditError, OSError: something could not be kept; nothing is lost, the next look goes on from
                there.
        """
        ballot = self.ballot
        with held_directory(layout.drops(ballot.request.state_dir), os.O_PATH) as root:
            for person, uid in droppers(ballot.policy, ballot.rule, ballot.request.facts).items():
                if self._answers(person, f"drop/{person}", {"person": person, "via": "drop"}):
                    from_drops.look_into(ballot, root, person, uid)
            signers = from_signed.signers(ballot.rule, ballot.policy, ballot.request.facts)
            if signers and self._answers("signed", "drop/signed", {"via": "signed"}):
                from_signed.look_into(ballot, root, signers)
        page = ballot.policy.get("page")
        if page and self._answers("page", "votes", {"via": "page"}):
            from_page.look_into(ballot, page["uid"])
        votes = votes_on(ballot.request, ballot.lines)
        for vote in votes:
            ballot.record(vote)
        standing = from_signed.standing(votes, ballot.policy)
        gone = [f"{vote['person']}'s signed approval" for vote in votes if vote not in standing]
        ballot.lines += [f"{what} does not count any more: its key has gone from gate.yaml" for what in gone]
        return standing

    def _answers(self, source: str, place: str, by: dict[str, str]) -> bool:
        if source in self.hung:
            self.ballot.pass_over(place, by, "does not answer: the file system there hangs")
            return False
        self._at(source)
        return True


def droppers(policy: Policy, rule: Rule, facts: Facts) -> dict[str, int]:
    """Whose drop directories are looked into, by their uid: a gate that is not root serves none but its own user's."""
    uids = {person: policy["people"][person]["uid"] for person in concerned(rule, policy, facts)}
    return {person: uid for person, uid in uids.items() if uid is not None and os.geteuid() in (0, uid)}


def places(request: Request, policy: Policy, rule: Rule) -> dict[str, list[str]]:
    """Where a drop that answers the request can lie, relative to `drop/`, for each source."""
    job_id = request.facts["job_id"]
    names = [*names_of(job_id, request.key), *misnamed(job_id)]
    found = {person: [f"{person}/{name}" for name in names] for person in droppers(policy, rule, request.facts)}
    signers = from_signed.signers(rule, policy, request.facts)
    if signers:  # what each may bring of others are the names of `carried`
        found = {person: [*paths, person] for person, paths in found.items()}
    for person in signers:
        found[f"signed/{person}"] = [f"signed/{name}" for name in signed_names_of(request.key, person)]
    return found


def carried(request: Request, policy: Policy, rule: Rule) -> list[str]:
    """The names of signed answers that people bring for others, in their own directories.

    Many, so they stand here once.
    """
    signers = from_signed.signers(rule, policy, request.facts)
    return [name for person in signers for name in signed_names_of(request.key, person)]
