"""Requests in any state, on a site's disk and in its audit log, without a runner: what the page shows, ready made.

Each is written by the gate's own code, as R. One that waits is held by a heartbeat of this process, until `close`.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from typing import TYPE_CHECKING, Any

from audit import log
from config.load import load_policy
from gate.clock import boot_id, boottime_ms
from gate.flow.decide import decide, end, record_decided
from gate.flow.earlier import compared
from gate.model.content import shown_content
from gate.model.facts import job_facts, key_of
from gate.model.rules import people_of, wanted_words
from gate.store import heartbeat, layout
from gate.store.files import write_json_once
from gate.store.request import Request, load
from tests.support.jobs import job_payload

if TYPE_CHECKING:
    from tests.support.site import Site

_WHY = {
    "expired": "0 of 1 from release-managers when the time was up",
    "refused": "no rule is for it: project shop/warehouse, ref main",
    "superseded": "superseded by job #1012, a newer one of the same name and ref",
}


class Stage:
    """Puts requests on a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.policy, self.config = load_policy(str(site.yaml))
        layout.make(self.policy)
        self._ids = itertools.count(1001)
        self._beats: list[int] = []

    def close(self) -> None:
        """Let go of all that waits."""
        for beat in self._beats:
            os.close(beat)
        self._beats = []

    def waiting(
        self, *, waited_s: float = 0, left_s: float = 3600, hold: bool = True, rehearsal: bool = False, **job: Any
    ) -> Request:
        """A request that waits; `job` is what job_payload takes."""
        response = job_payload(next(self._ids), **job)
        facts = job_facts(response, rehearsal=rehearsal)
        key = key_of(facts)
        directory = layout.make_job(self.policy, key)
        content: Any = {"v": 1, "key": key, "response_sha256": "0" * 64, **shown_content(response, b"k" * 32)}
        content |= compared(self.policy["state_dir"], key, facts, self.rule["name"], content["variables"])
        write_json_once(directory, "content.json", content)
        now_ms = boottime_ms()
        write_json_once(
            directory,
            "request.json",
            {
                "v": 1,
                "key": key,
                "facts": facts,
                "response_sha256": "0" * 64,
                "token_hash": "1" * 64,
                "digest": hashlib.sha256(key.encode()).hexdigest(),
                "boot_id": boot_id(),
                "opened_boottime_ms": now_ms - int(waited_s * 1000),
                "opened_wall_s": time.time() - waited_s,
                "deadline_boottime_ms": now_ms + int(left_s * 1000),
                "deadline_set_by": "decide_within of rule 'all'",
                "deadline_shortened": False,
                "start_by_boottime_ms": now_ms + 10_000_000,
                "rule": self.rule["name"],
                "log_position": list(log.position(layout.audit(self.policy["state_dir"]))),
            },
        )
        request = load(self.policy["state_dir"], key)
        assert request is not None
        request.record("requested", rule=self.rule["name"], config=self.config, why=wanted_words(self.rule))
        if hold:
            self._beats.append(heartbeat.start_beating(directory, 1))
        return request

    @property
    def rule(self) -> Any:
        """The site's one rule."""
        found: Any = self.policy["rules"][0]
        return found

    def vote(self, request: Request, person: str, answer: str, comment: str = "", via: str = "page") -> Any:
        """A vote that was counted, by its record."""
        nonce = os.urandom(16).hex()
        by = {"person": person, "via": via, "uid": 1, "vote": f"{person}.page-{nonce}.{answer}.json"}
        request.record("vote", "by", by=by, decision=answer, comment=comment)
        return {"person": person, "via": via, "uid": 1, "comment": comment, "answer": answer, "nonce": nonce}

    def decided(self, request: Request, word: Any, comment: str = "", why: str = "") -> None:
        """Decide a request, by the first person of the rule where people decide, and end it."""
        votes = []
        person = people_of(self.rule)[0]
        if word in ("approved", "rejected"):
            votes = [self.vote(request, person, {"approved": "approve", "rejected": "reject"}[word], comment)]
            why = why or (f"1 of 1 from release-managers: {person}" if word == "approved" else f"rejected by {person}")
        decision = decide(
            request, word, why or _WHY.get(word, "so it is"), rule=self.rule["name"], config=self.config, votes=votes
        )
        record_decided(request, decision)
        if word == "approved":
            request.record("released", rule=self.rule["name"])
        end(request, "the job's stages are over" if word == "approved" else word)
