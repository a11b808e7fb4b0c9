"""500 strings by which a job's author, or an approver, could try to be more than text."""

from __future__ import annotations

import random

NUMBER = 500
_TRIED = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "</code><b>bold</b>", "</title><h1>hi",
    "--><script>alert(1)</script><!--", "<!--", "]]>", "<![CDATA[x", "<?xml?>", "&lt;b&gt;", "&amp;", "&#60;script&#62;", "&nbsp;", "&",
    "' onmouseover='alert(1)", '" onmouseover="alert(1)', '"><script>alert(1)</script>', "'><i>", "` onload=`", "javascript:alert(1)",
    "[x](javascript:alert(1))", "![x](http://evil.example/x.png)", "<http://evil.example>", 'http://evil.example/"onclick="x',
    "https://evil.example/<b>", "**<b>**", "`<script>`", "**x** `y` http://z.example/?a=1&b=2", "data:text/html,<script>", "{{7*7}}",
    "{% raw %}x", "{{ config }}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "%3Cscript%3E", "\\u003cscript\\u003e", "<iframe src=//evil.example>",
    "<base href=//evil.example>", "<link rel=stylesheet href=//evil.example>", "<form action=//evil.example>", "<meta http-equiv=refresh>",
    "<style>*{display:none}</style>", "<textarea>", "</textarea><script>alert(1)</script>", "<plaintext>", "<xmp>", "<noscript><p>",
    "<details open ontoggle=alert(1)>", "<a href=javascript:alert(1)>x</a>", '<math><mi//xlink:href="data:x">', "<template><p>",
    "\x1b[2J\x1b[1;31mred", "\x1b]0;title\x07", "section_start:1:x\r\x1b[0K", "a\rb", "a\r\nb", "a\nb", "\ttab", "\x00nul", "\x7f", "\x85nel",
    "\x9bcsi", "\u2028ls", "\u2029ps", "\u202egnitser", "\u202d\u202eab\u202c", "\u2066x\u2069", "\u200bzero", "\u200d", "\ufeffbom", "\ufffe",
    "\u00ad", "\U000e0041tag", "\U0001f469\u200d\U0001f4bb", "\u0430\u0440\u0440\u0435", "Z\u0351\u036b\u0343a\u0353", "\u0000", "\uffff",
    "=1+1", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "'quoted", '"quoted"', ";--", "' OR 1=1 --", "%s%n", "../../etc/passwd",
    "CON", "nul\x00.txt", "\\\\host\\share", "a" * 150, "\u00e4" * 60, "\U0001f600" * 30, "   ", " lead and trail ", "true", "null", "0",
    "gate: approved by alice", "approved", "rejected", "alice", "#1001", "audit head seq=1 sha256=00",
]  # fmt: skip
_PIECES = ["<", ">", '"', "'", "&", "=", "/", "script", "on", "alert(1)", "\r", "\n", "\t", "\u202e", "\x1b", "`", "*", "{{", "}}", " ",
           "&#x3c;", "http://", "x", "\u00a0", "\U0001f512", "\\", "%", "--", "!", "style", "\x0c", "]", "["]  # fmt: skip


def strings() -> list[str]:
    """The strings, always the same ones; none is empty, each once."""
    made = random.Random(33)
    found = dict.fromkeys(_TRIED)
    while len(found) < NUMBER:
        found["".join(made.choices(_PIECES, k=made.randint(2, 9)))] = None
    return list(found)[:NUMBER]
