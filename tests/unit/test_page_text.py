"""Text by others as HTML: to the letter, and nothing that it could do (threats T21, T29)."""

from __future__ import annotations

import time
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from gate.page.text import comment, exactly, odd_characters, spaced_duration

MARKUP = st.sampled_from([
    "<", ">", "&", '"', "'", "`", "**", "&lt;", "&#13;", "&#0;", "&nbsp", "<!--", "-->", "<![CDATA[", "</span>", "<b>",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "http://", "https://a.example/?q=<'\">&x", "javascript:",
    "\r", "\r\n", "\0", "\x1b[31m", "\x85", "\u2028", "\u202e", "\u2066", "\u200b", "\ufeff", "\U0001f600", "\U000e0041",
    "\u05d0", "\u0628\u064b", "\u0661",
])  # fmt: skip
TEXTS = st.lists(MARKUP | st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=12).map("".join)


class Seen(HTMLParser):
    """What a reader of HTML makes of it: the text, and each element with its attributes and its own text."""

    def __init__(self, html: Markup) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inner: list[str] = []
        self._open: list[int] = []
        self.feed(str(html))
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(len(self.elements))
        self.elements.append((tag, dict(attrs)))
        self.inner.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        for number in self._open:
            self.inner[number] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")


def shown_as(text: str) -> str:
    """NUL has no place in HTML; its picture stands for it."""
    return text.replace("\0", "\u2400")


@given(TEXTS)
def test_any_text_stands_to_the_letter_and_brings_no_element(text: str) -> None:
    seen = Seen(exactly(text))
    assert seen.text == shown_as(text)
    assert {tag for tag, _ in seen.elements} <= {"span", "bdi"}
    assert [(code["class"], code["data-code"]) for tag, code in seen.elements if tag == "span"] == [
        ("odd", f"U+{ord(character):04X}") for character in text if odd_characters(character)
    ]


@given(TEXTS)
def test_what_a_browser_would_change_before_it_reads_is_not_in_it(text: str) -> None:
    """CR and CRLF become a line feed, and NUL another character (WHATWG HTML, 13.2.3.5 and 13.2.5)."""
    assert not {"\r", "\0"} & set(str(exactly(text)))
    assert str(exactly("\r\n")) == '<span class="odd" data-code="U+000D">&#13;</span>\n'


@given(TEXTS)
def test_each_odd_character_is_alone_in_its_mark(text: str) -> None:
    seen = Seen(exactly(text))
    odd = [inner for (tag, _), inner in zip(seen.elements, seen.inner, strict=True) if tag == "span"]
    assert odd == [shown_as(character) for character in text if odd_characters(character)]


@given(
    TEXTS
    | st.lists(
        st.sampled_from(["\u05d0", "\u0628", "\u0661", "\u064b", "x", "1", " ", "#", "\u202e", "<"]), max_size=20
    ).map("".join)
)
def test_what_is_written_from_right_to_left_is_confined(text: str) -> None:
    """Otherwise what stands behind it, such as the number of a job, is shown before it (UAX #9)."""
    seen = Seen(exactly(text))
    confined = "".join(inner for (tag, _), inner in zip(seen.elements, seen.inner, strict=True) if tag == "bdi")
    turned = [
        each for each in text if unicodedata.bidirectional(each) in ("R", "AL", "AN") and not odd_characters(each)
    ]
    assert [each for each in confined if unicodedata.bidirectional(each) in ("R", "AL", "AN")] == turned
    assert not any(unicodedata.bidirectional(each) in ("L", "EN", "ES", "ON") for each in confined)


@given(TEXTS)
def test_any_comment_stands_to_the_letter_with_harmless_elements_only(text: str) -> None:
    seen = Seen(comment(text))
    assert seen.text == shown_as(text)
    for (tag, attributes), inner in zip(seen.elements, seen.inner, strict=True):
        if tag == "a":
            assert attributes.pop("rel") == "nofollow noopener noreferrer"
            assert attributes.pop("target") == "_blank"
            assert shown_as(str(attributes.pop("href"))) == inner
            assert inner.startswith(("http://", "https://"))
        assert attributes == ({"class": "odd", "data-code": attributes.get("data-code")} if tag == "span" else {})
        assert tag in ("span", "a", "bdi")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_no_eye_can_tell_is_odd(text: str) -> None:
    expected = [c for c in text if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029"]
    assert {f"U+{ord(c):04X}" for c in expected if c not in "\n\t"} <= set(odd_characters(text))


ODD = {
    "NUL": ("\0", "U+0000"),
    "escape": ("\x1b", "U+001B"),
    "carriage return": ("\r", "U+000D"),
    "next line": ("\x85", "U+0085"),
    "soft hyphen": ("\u00ad", "U+00AD"),
    "zero width space": ("\u200b", "U+200B"),
    "right-to-left override": ("\u202e", "U+202E"),
    "first strong isolate": ("\u2068", "U+2068"),
    "line separator": ("\u2028", "U+2028"),
    "byte order mark": ("\ufeff", "U+FEFF"),
    "private use": ("\ue000", "U+E000"),
    "unassigned": ("\u0378", "U+0378"),
    "tag letter": ("\U000e0041", "U+E0041"),
    "Hangul filler, a letter that shows nothing": ("\u3164", "U+3164"),
    "halfwidth Hangul filler": ("\uffa0", "U+FFA0"),
    "combining grapheme joiner": ("\u034f", "U+034F"),
    "variation selector 1": ("\ufe00", "U+FE00"),
    "variation selector 17, as data is hidden in": ("\U000e0100", "U+E0100"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_character_is_marked_with_its_code_point(case: str) -> None:
    character, code = ODD[case]
    seen = Seen(exactly(f"a{character}b"))
    assert seen.elements == [("span", {"class": "odd", "data-code": code})]
    assert odd_characters(f"a{character}b{character}") == [code]


def test_several_odd_characters_are_told_once_each_as_they_come() -> None:
    assert odd_characters("a\u202eb\0c\u202e\r\n\t") == ["U+202E", "U+0000", "U+000D"]


@pytest.mark.parametrize("text", ["", "deploy\n\tit", "näin", "日本", "\U0001f44d", "\u2764\ufe0f"])
def test_what_people_write_is_not_marked(text: str) -> None:
    assert (str(exactly(text)), odd_characters(text)) == (text, [])


def test_a_name_from_right_to_left_keeps_the_number_behind_it_there() -> None:
    assert exactly("feature/نشر الإصدار-2 <b>") == "feature/<bdi>نشر الإصدار</bdi>-2 &lt;b&gt;"
    assert odd_characters("עברית") == []


@pytest.mark.parametrize("text", ["run `ls -l`.", "**not** now", "**a\nb** `c\nd`", "* one", "[a](b)", "# x"])
def test_a_comment_is_shown_as_typed(text: str) -> None:
    assert str(comment(text)) == text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (8_999, "2 h 29 min"), (86_400, "1 d"), (65, "1 min 5 s"), (-3, "0 s")]
)
def test_a_span_of_time_is_written_as_people_do(seconds: float, words: str) -> None:
    assert spaced_duration(seconds) == words


LINKED = {
    "at the end of a sentence": ("see https://x.example/a?b=1&c=2.", ["https://x.example/a?b=1&c=2"]),
    "in brackets": ("(http://x.example/)", ["http://x.example/"]),
    "two": ("http://a.example http://b.example", ["http://a.example", "http://b.example"]),
    "quoted": ('"https://x.example/"onclick="alert(1)"', ["https://x.example/"]),
    "nothing behind": ("https://", []),
    "javascript": ("javascript:alert(1)", []),
    "javascript before": ("javascript:alert(1)//http://x.example", ["http://x.example"]),
    "Markdown's": ("[safe](javascript:alert(1))", []),
    "data": ("data:text/html,<script>alert(1)</script>", []),
    "in capitals": ("JAVASCRIPT:alert(1) HTTP://x.example", []),
}


@pytest.mark.parametrize("case", LINKED)
def test_only_addresses_on_the_web_become_links(case: str) -> None:
    text, expected = LINKED[case]
    assert [attributes["href"] for tag, attributes in Seen(comment(text)).elements if tag == "a"] == expected


@pytest.mark.parametrize("text", [object(), None, 7, ["<b>"]])
def test_what_is_no_text_is_shown_as_python_does(text: object) -> None:
    assert Seen(exactly(text)).text == str(text)


def test_markup_that_is_passed_on_is_no_exception() -> None:
    assert str(exactly(Markup("<b>"))) == "&lt;b&gt;"


def test_an_author_s_largest_script_with_an_odd_character_holds_the_page_up_no_longer_than_without() -> None:
    lines = f"{'x' * 79}\n" * 39_000
    plain_s = min(_seconds(lines) for _ in range(3))
    assert min(_seconds(f"{lines}\u202e") for _ in range(3)) < max(10 * plain_s, 1)


def _seconds(text: str) -> float:
    began_s = time.perf_counter()
    exactly(text)
    odd_characters(text)
    return time.perf_counter() - began_s
