"""A signed drop: a statement on line 1, then the armoured SSH signature of it, and nothing after.

Its name is `<key>.<person>.<answer>`: the one who waits looks for the names that are its own, and reads no others.

What must hold for it to count, besides the rule (threats "Signed drops"):

- The file is exactly that, in the one form that `ssh-keygen -Y sign` writes.
- The statement names this very request and its digest, and has not expired.
- The signature is by a key that gate.yaml has for the person whom the statement names, now.
- It is in the namespace `gate-approval@<site>`: a signature for git, a login, or another gate is not an answer here.
- `ssh-keygen -Y verify` says so, with exit code 0.
"""

from __future__ import annotations

import os

from gate.clock import utc_iso
from gate.errors import GateError
from gate.votes import sshsig
from gate.votes.drop_file import ANSWERS
from gate.votes.statement import FORMS, Statement, StatementError, make, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Policy, Rule, Vote
    from gate.store.request import Request

__all__ = ["Statement", "StatementError", "make", "parse"]

NAMESPACE = "gate-approval@"


class NotCountingError(GateError):
    """A signed drop that does not count; the message says why."""


def namespace(site: str) -> str:
    """The SSHSIG namespace of the gate of that site."""
    return f"{NAMESPACE}{site}"


def names_of(key: str, person: str) -> list[str]:
    """The names of signed drops that answer the request of that key for that person.

    Approvals first, see drop.names_of.
    """
    return [f"{key}.{person}.{answer}" for answer in ANSWERS]


def name_of(statement: Statement) -> str:
    """The name that a drop of that statement has to have."""
    return f"{statement.request}.{statement.person}.{statement.decision}"


def addressed(name: str) -> tuple[str, str] | None:
    """(key, person) that a signed drop's name has in it, or None where no request looks for such a name."""
    stem, _, answer = name.rpartition(".")
    key, _, person = stem.rpartition(".")
    if answer in ANSWERS and FORMS["request"].fullmatch(key) and FORMS["person"].fullmatch(person):
        return key, person
    return None


def split(content: bytes) -> tuple[bytes, bytes]:
    """(statement, armour) of a drop: line 1 without its line end, and all the rest as it is."""
    statement, _, armour = content.partition(b"\n")
    return statement, armour


def why_not(statement: Statement, key: str, digest: str, policy: Policy, now_s: float) -> str | None:
    """Why a statement, no matter who signed it, does not count for the request of `key` and `digest`.

    None where it may.
    """
    if statement.request != key:
        return f"it is for the request {statement.request}"
    known = policy["people"].get(statement.person)
    if known is None:
        return f"gate.yaml has no person {statement.person}"
    if not known["ssh_keys"]:
        return f"gate.yaml has no ssh_keys of {statement.person}"
    if statement.digest != digest:
        return "it is for another content: its digest is not that of this request"
    if now_s >= statement.expires_s:
        return f"it expired at {utc_iso(statement.expires_s)}"
    return None


def signing_key(armour: bytes, statement: Statement, policy: Policy) -> str:
    """The public key (`ssh-ed25519 AAAA…`) that a signature names, where it is one of the person's, and for this gate.

    Raises:
        NotCountingError: it is not, or this is no signature.
    """
    try:
        signature = sshsig.read(armour)
    except sshsig.SignatureError as error:
        raise NotCountingError(f"what follows its statement {error}") from error
    if signature.namespace != namespace(policy["site"]):
        raise NotCountingError(f"it is signed in another namespace than {namespace(policy['site'])}")
    if signature.key not in policy["people"][statement.person]["ssh_keys"]:
        raise NotCountingError(
            f"it is signed with {sshsig.fingerprint(signature.key)}, which is no key of {statement.person} in gate.yaml"
        )
    return signature.key


def verify(content: bytes, statement: Statement, key: str, digest: str, policy: Policy, now_s: float) -> str:
    """The fingerprint (`SHA256:…`) of the key that signed a drop's content, where it counts for this request.

    Args:
        content: of the drop, whole.
        statement: what `parse` made of its first line.
        key: the request's.
        digest: the request's content digest.
        policy: as gate.yaml is now.
        now_s: seconds since the epoch.

    Raises:
        NotCountingError: it does not count.
        CannotVerifyError: ssh-keygen cannot be asked; that is a fault of this host and no answer.
    """
    line, armour = split(content)
    why = why_not(statement, key, digest, policy, now_s)
    if why:
        raise NotCountingError(why)
    made_by = signing_key(armour, statement, policy)
    keys = policy["people"][statement.person]["ssh_keys"]
    if not sshsig.verify(line, armour, namespace(policy["site"]), statement.person, keys):
        raise NotCountingError("its signature is not of this statement, or not by the key that it names")
    return sshsig.fingerprint(made_by)


def still_theirs(vote: Vote, policy: Policy) -> bool:
    """Whether gate.yaml still has the key that a signed vote was made with; a key that was taken out counts no more."""
    known = policy["people"].get(vote["person"])
    return known is not None and str(vote["signed_with"]) in map(sshsig.fingerprint, known["ssh_keys"])


def lines_for(request: Request, policy: Policy, rule: Rule) -> list[str]:
    """What people elsewhere need to sign an answer, for the job log; nothing where no one on the rule could.

    The template is not canonical: `<person>` and `<answer>` are for people to fill in, and `expires` and `comment`,
    too, may be others.
    """
    from gate.model.rules import people_of
    from gate.store import layout

    people = [policy["people"][person] for person in people_of(rule) if person in policy["people"]]
    if policy["approvers_gid"] is None or not any(known["ssh_keys"] for known in people):
        return []
    opened = request.opened
    until_ms = opened["deadline_boottime_ms"] - opened["opened_boottime_ms"]
    expires = utc_iso(int(opened["opened_wall_s"] + until_ms / 1000))
    template = (
        f'{{"comment":"","decision":"<answer>","digest":"{opened["digest"]}","expires":"{expires}",'
        f'"person":"<person>","request":"{request.key}","v":1}}'
    )
    into = os.path.join(layout.signed_drops(request.state_dir), "")
    return [
        f"  or sign   {template}",
        f"            (<answer>: approve or reject) in namespace {namespace(policy['site'])}, into",
        f"            {into}{request.key}.<person>.<answer>",
    ]
