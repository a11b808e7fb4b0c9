"""What a job would run, as lines for the job log and `gate show`: all of it, and harmless whatever is in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.flow.earlier import compared
from gate.model import dangers
from gate.model.content import shown_content
from gate.model.content_lines import LOG_MAX_CHARACTERS, LOG_MAX_NAMES, WHOLE, lines_of, variable_lines
from tests.support.gate_state import facts_of
from tests.support.jobs import variable
from tests.support.parts import part
from tests.support.whole_response import whole_response

NASTY = "a\x1b[31m\nsection_start:1:x\r\x1b[0K\u202e\u2066\x9b\u2028end"


def content_of(*authors: Any, **changes: Any) -> Any:
    return shown_content(whole_response(authors=list(authors)) | changes, b"k" * 32)


def lines(*authors: Any, limit: int = LOG_MAX_CHARACTERS) -> list[str]:
    return variable_lines(
        part(
            {
                **content_of(*authors),
                "variables": [each | {"change": ""} for each in content_of(*authors)["variables"]],
            }
        ),
        limit,
    )


def test_each_variable_has_a_line_with_its_value_or_why_not() -> None:
    found = lines(
        variable("TARGET", "prod --force"),
        variable("REGION", "eu", public=False),
        variable("BASH_ENV", "$(id)"),
        variable("CI_JOB_NAME", "lint"),
        variable("TARGET", "dev"),
    )
    assert found[1:] == [
        'variable  TARGET="prod --force"  (set again below, and that counts)',
        "variable  REGION (value not shown: not marked public by GitLab)",
        'variable  BASH_ENV="$(id)"  (such variables change what the shell itself runs)',
        'variable  CI_JOB_NAME="lint"  (overrides the server\'s)',
        'variable  TARGET="dev"',
        found[-1],
    ]
    assert found[0].startswith("variable  VAULT_ID_TOKEN (value not shown: masked in GitLab)")
    assert found[-1].startswith("perhaps   CI_TRACEPARENT, CI_TRACESTATE, CI_BUILD_ID, ")


def test_a_long_value_is_cut_in_the_job_log_and_says_so() -> None:
    value = "x" * (LOG_MAX_CHARACTERS + 7)
    assert f'variable  A="{value[:-7]}"… (7 more characters: see the page or gate show)' in lines(variable("A", value))
    assert f'variable  A="{value}"' in lines(variable("A", value), limit=WHOLE)
    assert f'variable  A="{value[:-7]}"' in lines(variable("A", value[:-7]))


def test_however_many_variables_there_are_the_job_log_stays_short() -> None:
    names = [
        *(f"N{n}" for n in range(5000)),
        "N" * 1_000_000,
        "BASH_ENV",
        *(f"CI_MERGE_REQUEST_{n}" for n in range(5000)),
    ]
    found = lines(*(variable(name, "x" * 1000) for name in names))
    assert len(found) == LOG_MAX_NAMES + 2
    assert sum(map(len, found)) < 60_000
    assert found[-2] == "variable  … and 4903 more: see the page or gate show"
    assert any(line.startswith("variable  BASH_ENV ") for line in found)
    everything = lines(*(variable(name, "x") for name in names), limit=WHOLE)
    assert sum(line.startswith("variable  N") for line in everything) == 5001


def test_a_name_cannot_pass_for_one_with_its_value() -> None:
    (found,) = [line for line in lines(variable('TARGET="dev"  (new', "prod")) if "prod" in line]
    assert found.startswith('variable  "TARGET=\\"dev\\"  (new"="prod"  (such variables change')


def test_a_value_cannot_pass_for_a_remark() -> None:
    value = "prod\"  (overrides the server's)"
    assert 'variable  A="prod\\"  (overrides the server\'s)"' in lines(variable("A", value))
    assert 'variable  A="\\\\\\""' in lines(variable("A", '\\"'))


def test_what_changed_and_what_is_gone_is_said() -> None:
    content = content_of(variable("A", "1"), variable("B", "1"))
    changed = {"A": "changed", "B": "new"}
    content["variables"] = [each | {"change": changed.get(each["name"], "")} for each in content["variables"]]
    found = variable_lines(content | {"gone": ["OLD"], "since": {"key": "k", "job_id": 998}}, LOG_MAX_CHARACTERS)
    assert 'variable  A="1"  (changed since #998 was approved)' in found
    assert 'variable  B="1"  (new since #998 was approved)' in found
    assert "gone      OLD was set when #998 was approved" in found


@pytest.mark.parametrize(
    "content", [{}, {"too_large": None, "steps": [], "hooks": [], "image": {}, "services": [], "run": ""}]
)
def test_what_an_older_gate_did_not_keep_is_said(content: Any) -> None:
    assert variable_lines(content, WHOLE) == [
        "variables: not kept: this job came to an older version of the gate; look into GitLab"
    ]


def test_all_that_runs_is_shown() -> None:
    content = content_of(
        variable("A", "1"),
        steps=[{"name": "script", "script": ["make\nmake install", "true"]}],
        hooks=[{"name": "pre_get_sources_script", "script": ["echo hook"]}],
        image={"name": "alpine:3", "entrypoint": ["sh"]},
        services=[{"name": "pg", "alias": "db"}],
        run=[{"name": "step", "script": "echo step"}],
        sandbox={"level": 2},
    )
    found = "\n".join(lines_of(content | compared_with_nothing(content)))
    for text in (
        "hook pre_get_sources_script:\n    echo hook",
        "script:\n    make\n    make install\n    true",
        '"script": "echo step"',
        "image alpine:3, entrypoint ['sh'] (not used)",
        "service pg, alias db (not used)",
        'variable  A="1"',
        'unknown field sandbox: {"level": 2}',
        "secrets (what is fetched from a secrets manager): ",
        "GitLab's own variables, whose values are not shown: CI_PIPELINE_ID, ",
    ):
        assert text in found


def compared_with_nothing(content: Any) -> Any:
    return {"variables": [each | {"change": ""} for each in content["variables"]], "gone": [], "since": None}


def test_what_is_not_kept_or_too_large_is_said() -> None:
    assert lines_of(None) == ["what it runs is not kept here: read it in GitLab"]
    large = content_of(variable("A", "1"), steps=[{"name": "script", "script": ["x" * 4_000_000]}])
    found = lines_of(large | compared_with_nothing(large))
    assert found[0].endswith("bytes, too much to be kept here: read it in GitLab")
    assert "variable  A (value not shown: too much to be kept)" in found


@given(st.text(max_size=30) | st.just(NASTY))
def test_no_text_of_an_authors_breaks_a_line_or_moves_the_cursor(text: str) -> None:
    content = content_of(
        variable(text, text),
        steps=[{"name": text, "script": [text]}],
        hooks=[{"name": text, "script": [text]}],
        image={"name": text},
        services=[{"name": text, "alias": text}],
        run=text,
        **{f"field {text}": text},
    )
    found = [
        *lines_of(content | compared_with_nothing(content)),
        *variable_lines(content | compared_with_nothing(content), 5),
    ]
    assert all(line.isprintable() for line in found)


def test_dangers_name_what_is_set_by_what_it_does() -> None:
    facts = facts_of(variables=["A", "BASH_ENV", "PATH", "LD_PRELOAD", "GIT_STRATEGY"], checkout=["GIT_STRATEGY=none"])
    assert dangers.variables(facts) == [
        "it sets BASH_ENV and PATH: such variables change what the shell itself runs",
        "it sets LD_PRELOAD: such variables change what programs load",
    ]
    many = facts_of(variables=[f"LD_{n}" for n in range(25)])
    assert dangers.variables(many)[0].endswith("LD_19 and 5 more: such variables change what programs load")
    assert dangers.variables(facts_of()) == dangers.images(facts_of()) == dangers.unknown(None) == []


def test_dangers_name_image_and_unknown_fields() -> None:
    asked = (
        "it asks for the image a and the service b, not used here: its script runs on the host, in the host's own shell"
    )
    assert dangers.images(facts_of(image="a", services=["b"])) == [asked]
    one = dangers.unknown({"unknown": [{"field": "x", "text": "1"}]})
    assert one == ["it has a field that this version of the gate does not know: x; what it does is not known here"]


def test_a_first_job_is_compared_with_nothing(tmp_path: Any) -> None:
    (tmp_path / "jobs").mkdir()
    found = compared(str(tmp_path), "h-1-2", facts_of(), "all", content_of()["variables"])
    assert (found["since"], found["gone"], {each["change"] for each in found["variables"]}) == (None, [], {""})
