"""What is written for people: no line too wide, no word that CONTRIBUTING.md avoids, and no reference that leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
WIDTH = 120
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), CHECKOUT / "bench" / "README.md"])
OURS = sorted(path for room in ("executor", "gate", "audit", "config") for path in (CHECKOUT / room).rglob("*.py"))
SHOWN = sorted([*OURS, *(CHECKOUT / "gate").rglob("*.html"), *(CHECKOUT / "gate").rglob("*.js")])
CODE = sorted([*OURS, *(CHECKOUT / "tests").rglob("*.py"), *(CHECKOUT / "bench").rglob("*.py"), *CHECKOUT.glob("*.py")])
# CONTRIBUTING.md, "English": the words on the right. `else` where it stands for `otherwise`.
AVOIDED = re.compile(
    r"\b(?:mend(?:s|ed|ing)?|anew|who(?:m)?ever|nobody|(?:is|are|was|were|be|been|being) told|t(?:ell|ells|old|elling) of)\b"
    r"|(?<!body\s)(?<!someone\s)(?<!anyone\s)(?<!everyone\s)(?<!no\sone\s)(?<!thing\s)(?<!where\s)(?<!what\s)\belse\b",
    re.IGNORECASE,
)
# In docstrings, comments, messages and pages of the program. It may only be lowered.
AVOIDED_IN_CODE = 40
_QUOTED = re.compile(r"^```.*?^```$|^ {4}[^\n]*$|`[^`]*`", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"^```\n\$ .*?^```$", re.MULTILINE | re.DOTALL)
_TABLE_OF_WORDS = re.compile(r"^\| write \| not \|$.*?\n\n", re.MULTILINE | re.DOTALL)
_PYTHON_ELSE = re.compile(r"^\s*(?:else:|.*\bif\b.*\belse\b).*$|\{% else %\}|\belse ?\{", re.MULTILINE)


def _name(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_line_of_a_page_is_too_wide(page: Path) -> None:
    """But in what a command prints, quoted with its prompt: other tests compare that to the letter."""
    lines = _PRINTED.sub(_blank, page.read_text(encoding="utf-8")).splitlines()
    assert [f"{_name(page)}:{n}" for n, line in enumerate(lines, 1) if len(line) > WIDTH] == []


def test_readme_is_short() -> None:
    assert len((CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_a_page_has_no_word_that_is_avoided(page: Path) -> None:
    """But in what it quotes: output of the program, and the table that names these words."""
    text = _TABLE_OF_WORDS.sub("\n", _QUOTED.sub("", page.read_text(encoding="utf-8")))
    assert [f"{found[0]}: {_around(text, found)}" for found in AVOIDED.finditer(text)] == []


def test_avoided_words_become_fewer_in_the_program() -> None:
    texts = [_PYTHON_ELSE.sub("", path.read_text(encoding="utf-8")) for path in SHOWN]
    assert sum(len(AVOIDED.findall(text)) for text in texts) <= AVOIDED_IN_CODE


def _blank(block: re.Match[str]) -> str:
    return "\n" * block[0].count("\n")


def _around(text: str, found: re.Match[str]) -> str:
    return " ".join(text[max(0, found.start() - 30) : found.end() + 30].split())


# How code and pages refer to documents, and what each reference has to lead to.
_THREATS = re.compile(r"\bthreats?,? (T\d+(?:(?:, | to | and |, and )T\d+)*)")
_BY_NUMBER = re.compile(r"\b(T\d+)(?: to (T\d+))?")
_CONTRACT = re.compile(r"\brunner-contract (\d+(?:\.\d+)?(?:, \d+(?:\.\d+)?)*)")
_TITLED = re.compile(r'\b(?:docs/)?((?:[a-z-]+/)*[a-z-]+)(?:\.md)?,? "([A-Z][^"\n]+)"')
_INVARIANT = re.compile(r"\barchitecture, invariant (\d+)")
_PAGE = re.compile(r"(?<!\bits )\bdocs/[a-z-]+(?:/[a-z0-9-]+)*\.md\b")
_ADR = re.compile(r"\bADR (\d+)\b")
# A document in capitals, as some projects have them, that is none of this repository's.
_ABSENT = re.compile(r'\b([A-Z]{4,})(?:\.md)? (?:"[A-Z]|rules? \d|sections? \d)')
_DOCUMENTS = {path.stem: path for path in CHECKOUT.glob("docs/**/*.md")}


def _texts() -> list[tuple[str, str]]:
    """Each file that may refer to a document, lines joined: a reference may be broken over two of them."""
    here = Path(__file__)
    files = [path for path in [*CODE, *PAGES] if path != here]
    return [(_name(path), re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text(encoding="utf-8"))) for path in files]


def _titles(document: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", _DOCUMENTS[document].read_text(encoding="utf-8"), re.MULTILINE)


def _threats(text: str) -> set[int]:
    numbers = set()
    for listed in _THREATS.findall(text):
        for first, last in _BY_NUMBER.findall(listed):
            numbers |= set(range(int(first[1:]), int((last or first)[1:]) + 1))
    return numbers


def test_threats_that_are_referred_to_are_described() -> None:
    described = {int(title.split()[0][1:]) for title in _titles("threats") if re.match(r"T\d+ ", title)}
    wrong = {name: sorted(_threats(text) - described) for name, text in _texts() if _threats(text) - described}
    assert (wrong, described) == ({}, set(range(1, max(described) + 1)))


def test_facts_of_the_runner_that_are_referred_to_are_described() -> None:
    described = {title.split()[0].rstrip(".") for title in _titles("runner-contract") if title[0].isdigit()}
    referred = [
        (name, number) for name, text in _texts() for many in _CONTRACT.findall(text) for number in many.split(", ")
    ]
    assert [pair for pair in referred if pair[1] not in described] == []
    assert referred


def test_invariants_that_are_referred_to_are_listed() -> None:
    text = _DOCUMENTS["architecture"].read_text(encoding="utf-8").partition("\n## Invariants\n")[2]
    listed = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    referred = [(name, number) for name, text in _texts() for number in _INVARIANT.findall(text)]
    assert [pair for pair in referred if pair[1] not in listed] == []
    assert listed == [str(number) for number in range(1, len(listed) + 1)]
    assert referred


def test_sections_that_are_referred_to_are_there() -> None:
    referred = [
        (name, path.rpartition("/")[2], title)
        for name, text in _texts()
        for path, title in _TITLED.findall(text)
        if path.rpartition("/")[2] in _DOCUMENTS and (path.count("/") or path in {"threats", "architecture"})
    ]
    missing = [each for each in referred if not any(title.startswith(each[2]) for title in _titles(each[1]))]
    assert missing == []
    assert referred


def test_pages_and_decisions_that_are_referred_to_are_there() -> None:
    adrs = {int(path.name[:4]) for path in CHECKOUT.glob("docs/adr/*.md")}
    missing = [
        (name, page) for name, text in _texts() for page in _PAGE.findall(text) if not (CHECKOUT / page).exists()
    ]
    missing += [(name, f"ADR {n}") for name, text in _texts() for n in _ADR.findall(text) if int(n) not in adrs]
    assert missing == []


def test_no_reference_names_a_document_that_this_repository_does_not_have() -> None:
    absent = [(name, found[0]) for name, text in _texts() for found in _ABSENT.finditer(text)]
    assert [each for each in absent if not each[1].startswith(("README", "CONTRIBUTING", "SECURITY"))] == []
