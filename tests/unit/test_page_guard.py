"""The forms that the page reads: as browsers send them, and nothing that is no text."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from gate.page.guard import form_of
from tests.support.event_loop import run

FORM = "application/x-www-form-urlencoded"


def sent(body: bytes, content_type: str = FORM) -> dict[str, str]:
    """What the page reads of a form."""

    async def read() -> dict[str, str]:
        loop = asyncio.get_running_loop()
        stream = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
        stream.feed_data(body)
        stream.feed_eof()
        request = make_mocked_request("POST", "/", headers={"Content-Type": content_type}, payload=stream, loop=loop)
        return dict(await form_of(request))

    return run(read())


FORMS = {
    "plain": (b"a=1&b=", {"a": "1", "b": ""}),
    "escaped": (b"a=%C3%BC+%26", {"a": "ü &"}),
    "not UTF-8": (b"a=%FF%ED%A0%80", {"a": "\ufffd" * 4}),
    "nothing": (b"", {}),
}


@pytest.mark.parametrize("case", FORMS)
@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=UTF-8"])
def test_a_form_is_read_as_browsers_send_it(case: str, charset: str) -> None:
    body, expected = FORMS[case]
    assert sent(body, FORM + charset) == expected


@pytest.mark.parametrize(
    "charset", ["utf-7", "utf-16", "unicode_escape", "raw_unicode_escape", "idna", "base64", "none"]
)
def test_a_form_in_another_charset_is_none(charset: str) -> None:
    """`+2AA-` in UTF-7 is half a surrogate pair, which no answer can be written with."""
    with pytest.raises(web.HTTPBadRequest):
        sent(b"person=+2AA-", f"{FORM}; charset={charset}")


@pytest.mark.parametrize("body", [b"a=\xff", b"\xfe\xff\x00a"])
def test_a_form_of_bytes_that_are_no_text_is_none(body: bytes) -> None:
    with pytest.raises(web.HTTPBadRequest):
        sent(body)
