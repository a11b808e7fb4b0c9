"""JOB, as people write it: a number as GitLab shows it, a key as the gate does, or an address copied from either."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from gate.commands.fault import CommandError
from gate.model.facts import REHEARSAL, safe_instance
from gate.model.words import shown

_NUMBER = re.compile(r"#?([1-9][0-9]{0,18})")
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,299}-[0-9]+-([0-9]+)")
_OF_GITLAB = re.compile(r"/.+/-/jobs/([1-9][0-9]{0,18})(/.*)?")
_OF_THE_PAGE = re.compile(rf"/requests/({_KEY.pattern})/?")
_HELP = (
    "give its number (1234 or #1234), its key as `gate list` shows it, its address in GitLab, or its "
    "request's on the page"
)


@dataclass(frozen=True)
class Job:
    """What somebody means by JOB.

    Attributes:
        name: the number or the key, as a drop for it is named.
        number: the job's number in GitLab.
        instance: the part of a key for the GitLab instance, where an address in GitLab was given.
    """

    name: str
    number: str
    instance: str = ""

    def is_key(self, key: str) -> bool:
        """Whether a request has this key, or this number where only that is known."""
        if self.name != self.number:
            return key == self.name
        of, _, number = key.rpartition("-")
        own = of.rpartition("-")[0].removeprefix(REHEARSAL)
        return bool(of) and number == self.number and self.instance in ("", own)


def job_of(text: str) -> Job:
    """What `text` means.

    Raises:
        CommandError: it names no job.
    """
    number, key = _NUMBER.fullmatch(text.strip()), _KEY.fullmatch(text.strip())
    if number:
        return Job(number[1], number[1])
    if key:
        return Job(key[0], key[1])
    address = _address(text.strip())
    if address:
        return address
    raise CommandError(f"{shown(text)!r} names no job: {_HELP}")


def _address(text: str) -> Job | None:
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that close nothing
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or not text.isascii():
        return None
    on_page, in_gitlab = _OF_THE_PAGE.fullmatch(parts.path), _OF_GITLAB.fullmatch(parts.path)
    if on_page:
        return Job(on_page[1], on_page[2])
    host = parts.netloc.rpartition("@")[2].lower()
    return Job(in_gitlab[1], in_gitlab[1], safe_instance(host)) if in_gitlab else None
