"""Broken files and the exact words that their operator reads."""

import pytest

from config.load import ConfigError, policy_from
from tests.support.fake_accounts import FakeHost

GOOD = """\
version: 1
site: build01.example.com
state_dir: /var/lib/gitlab-runner-gate
approvers_group: gate-approvers
people:
  alice: {unix: alice, gitlab: [alice, 4711]}
  bob: {unix: bob, gitlab: [bob]}
groups:
  release-managers: [alice, bob]
rules:
  - name: production
    match: {}
    approvals: [{count: 1, of: [release-managers]}]
    decide_within: 4h
backend: {type: shell, run_as: gitlab-job}
"""
SOME_TOP_KEYS = (
    "version, site, state_dir, approvers_group, people, groups, rules, backend, exit_codes, page, audit, keep, on_event"
)
DURATION = "write one number and its unit, such as 30s, 15m, 4h or 2d"
PERSON = "write 1 to 32 lower-case letters, digits, '_' and '-', beginning with a letter or '_'"


def faults_of(text: str | bytes, *, runner_uid: int = 0) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigError) as caught:
        policy_from(data, "gate.yaml", runner_uid=runner_uid, host=FakeHost())
    return [str(fault).removeprefix("gate.yaml:") for fault in caught.value.faults]


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_the_good_file_has_no_fault() -> None:
    assert policy_from(GOOD.encode(), "gate.yaml", runner_uid=0, host=FakeHost())["site"] == "build01.example.com"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # keys
        ("approvals:", "aprovals:", "13:5: unknown key 'aprovals': did you mean 'approvals'?"),
        ("site:", "Site:", "2:1: unknown key 'Site': did you mean 'site'?"),
        ("version: 1\n", "version: 1\nzzz: 1\n", f"2:1: unknown key 'zzz': remove it; the keys possible here are {SOME_TOP_KEYS}"),
        ("match: {}", "match: {projekt: x}", "12:13: unknown key 'projekt': did you mean 'project'?"),
        ("match: {}", "match: {zzz: x}", "12:13: unknown key 'zzz': remove it; the keys possible here are project, ref, protected, job, stage, environment, instance, runner"),
        ("bob: {unix: bob", "bob: {zzz: []", "7:9: unknown key 'zzz': remove it; the keys possible here are unix, gitlab, ssh_keys, proxy"),
        ("site: build01.example.com\n", "", "1:1: 'site' is missing: add for instance site: build01.example.com"),
        ("    decide_within: 4h\n", "", "11:5: 'decide_within' is missing: add for instance decide_within: 4h"),
        ("    match: {}\n", "", "11:5: 'match' is missing: add for instance match: {project: shop/*, environment: production, protected: true}"),
        ("site:", "version: 1\nsite:", "2:1: the key 'version' is given twice, first in line 1: keep one of them"),
        ("bob: {unix: bob", "bob: {unix: bob, unix: alice", "7:20: the key 'unix' is given twice, first in line 7: keep one of them"),
        ("  bob: {", "  alice: {unix: bob}\n  bob: {", "7:3: the key 'alice' is given twice, first in line 6: keep one of them"),
        ("version: 1\n", "version: 1\n4711: x\n", "2:1: the key '4711' means a number to YAML: put it in quotes"),
        ("version: 1\n", "version: 1\n<<: {}\n", "2:1: the merge key '<<' is not used here: write the keys out"),
        ("version: 1\n", "version: 1\n? [a]\n: x\n", "2:3: a key must be a plain word: remove the brackets"),
        # what YAML makes of plain words
        ("site: build01.example.com", "site: no", "2:7: 'no' means false to YAML, and text is wanted here: put it in quotes"),
        ("site: build01.example.com", "site: 1.10", "2:7: '1.10' means a number to YAML, and text is wanted here: put it in quotes"),
        ("site: build01.example.com", "site: 2026-11-24", "2:7: '2026-11-24' means a date to YAML, and text is wanted here: put it in quotes"),
        ("[bob]", "[no]", "7:29: 'no' means false to YAML, and text or a whole number is wanted here: put it in quotes"),
        ("4711", "0x1F", "6:40: '0x1F' means a number to YAML, and text or a whole number is wanted here: put it in quotes"),
        ("4711", "0123", "6:40: '0123' means a number to YAML, and text or a whole number is wanted here: put it in quotes"),
        ("4h", "4:00", f"14:20: '4:00' does not fit: {DURATION}"),
        ("4h", "3600", f"14:20: '3600' does not fit: {DURATION}"),
        # values
        ("4h", "1h30m", f"14:20: '1h30m' does not fit: {DURATION}"),
        ("4h", "0s", f"14:20: '0s' does not fit: {DURATION}"),
        ("version: 1\n", "version: 2\n", "1:10: 'version' cannot be '2': write 1"),
        ("version: 1\n", "version: '1'\n", "1:10: 'version' cannot be '1': write 1 without quotes"),
        ("version: 1\n", "version: true\n", "1:10: 'version' cannot be 'true': write 1"),
        ("version: 1\n", "version: 1.0\n", "1:10: 'version' cannot be '1.0': write 1"),
        ("site: build01.example.com", "site:", "2:6: 'site' has no value: write for instance site: build01.example.com, or remove the key"),
        ("site: build01.example.com", 'site: "a\\n"', "2:7: 'a\\n' does not fit: write 1 to 64 letters, digits, dots and hyphens, such as build01.example.com"),
        ("[bob]", "bob", "7:28: 'gitlab' must be a list, and is the text 'bob': write for instance gitlab: [alice, 4711]"),
        ("[bob]", "[]", "7:28: 'gitlab' is empty: write for instance gitlab: [alice, 4711]"),
        ("[bob]", "['@bob']", "7:29: '@bob' does not fit: write the user name as in the profile's address, without the @, or the numeric id"),
        ("  bob: {unix: bob, gitlab: [bob]}", "  bob: {}", "7:8: 'bob' is empty: write for instance bob: {unix: alice, gitlab: [alice, 4711]}"),
        ("count: 1", "count: 0", "13:25: 'count' cannot be 0: write a whole number from 1 to 1000"),
        ("count: 1", "count: '1'", "13:25: 'count' must be a whole number, and is the text '1': write for instance count: 1"),
        ("count: 1", "count: true", "13:25: 'count' must be a whole number, and is 'true': write for instance count: 1"),
        ("4h\n", "4h\n    early: 'no'\n", "15:12: 'early' must be true or false, and is the text 'no': write for instance early: true"),
        ("type: shell", "type: docker", "15:17: 'type' cannot be 'docker': write shell"),
        ("gitlab-job}", "gitlab-job, isolate: [x]}", "15:53: 'isolate' has no plain value: write pid_namespace or process_group"),
        ("gitlab-job}\n", "gitlab-job}\nexit_codes: {rejected: 256}\n", "16:24: 'rejected' cannot be 256: write a whole number from 1 to 255"),
        # YAML that gate.yaml has no use for
        ("[bob]", "&b [bob]", "7:28: the anchor '&b' is not used here: remove it"),
        ("[bob]", "*b", "7:28: the alias '*b' is not used here: write the value out, or put it in quotes"),
        ("4h", "!!python/object:os.system 4h", "14:20: the tag 'tag:yaml.org,2002:python/object:os.system' is not used here: remove it"),
    ],
)  # fmt: skip
def test_a_fault_of_form_is_told_in_words_at_its_place(old: str, new: str, expected: str) -> None:
    assert faults_of(changed(old, new)) == [expected]


@pytest.mark.parametrize(
    "path",
    ["var/lib/gate", "/", "//x", "/a//b", "/a/../b", "/a/.", "''", '"/a\\0"', '"/a\\ud800"', '"/a\\n"'],
)
def test_a_state_dir_that_is_no_whole_path_is_a_fault(path: str) -> None:
    found = faults_of(changed("/var/lib/gitlab-runner-gate", path))
    assert [fault[:6] for fault in found] == ["3:12: "]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: the file is empty: remove it, and `gate init` writes a new one"),
        ("# nothing\n", "1:1: the file is empty: remove it, and `gate init` writes a new one"),
        ("- 1\n", "1:1: the file must be keys with values, and is a list: write keys with values"),
        ("*a", "1:1: the alias '*a' is not used here: write the value out, or put it in quotes"),
        ("a: [&x [*x]]\na: 1", "1:1: unknown key 'a': remove it; the keys possible here are " + SOME_TOP_KEYS),
        (b"site: \xff", "1:7: not UTF-8: byte 0xff stands here: save the file as UTF-8"),
        (b"\xef\xbb\xbf# \xc3\xa4\n\xff", "2:1: not UTF-8: byte 0xff stands here: save the file as UTF-8"),
        ("a: 1\nb: \x07", "2:4: the character '\\x07' is not allowed in YAML: remove it"),
        ("a:\n\t- b", "2:1: not YAML: found character '\\t' that cannot start any token: indent with spaces, not tabs"),
        ("a: [b", "1:6: not YAML: expected ',' or ']', but got '<stream end>': add the missing comma or closing bracket"),
        ("a: 'b", "1:6: not YAML: found unexpected end of stream: close the quotes"),
        ("a: 1\n---\nb: 2", "2:1: not YAML: found another document: gate.yaml is one document, remove the '---' and what follows"),
        ("a: @b", "1:4: not YAML: found character '@' that cannot start any token: put a text that begins with this character in quotes"),
        ('a: "\\UFFFFFFFF"', "1:7: not YAML: an escape or a number here is out of range: check the quotes, brackets and indentation around here"),
        ("[" * 100_000, "1:33: nested too deeply: remove the brackets"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_as_keys_is_told_at_its_place(text: str | bytes, expected: str) -> None:
    assert faults_of(text)[0] == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  bob: {", "  Carol: {unix: x}\n  bob: {", f"7:3: the name 'Carol' does not fit: {PERSON}"),
        ("  bob: {", "  signed: {unix: x}\n  bob: {", "7:3: the name 'signed' is taken by the directory of signed drops: choose another"),
        ("unix: bob", "unix: alice", "7:15: the uid '1001' is alice's already: one human is one person, remove one"),
        ("unix: bob", "unix: alice2", "7:15: the uid '1001' is alice's already: one human is one person, remove one"),
        ("gitlab: [bob]", "proxy: [alice]", "7:28: the proxy's name 'alice' is alice's already: one human is one person, remove one"),
        ("gitlab: [bob]", "proxy: [b@x, ' b']", "7:33: ' b' does not fit: write the name as the proxy sends it, such as alice@example.com"),
        ("[bob]", "[bob, ALICE]", "7:34: the GitLab name 'alice' is alice's already: one human is one person, remove one"),
        ("[bob]", "[4711]", "7:29: the GitLab id '4711' is alice's already: one human is one person, remove one"),
        ("release-managers: [", "bob: [", "9:3: 'bob' is a person too: rename the group"),
        ("[alice, bob]", "[alice, bib]", "9:29: no person 'bib': did you mean 'bob'?"),
        ("[alice, bob]", "[alice, zzz]", "9:29: no person 'zzz': add it under people, or remove it here"),
        ("[alice, bob]", "[release-managers, bob]", "9:22: 'release-managers' is a group: list the people in it"),
        ("[alice, bob]", "[]", "9:21: 'release-managers' is empty: write for instance release-managers: [alice, bob]"),
        ("of: [release-managers]", "of: [release-manager]", "13:33: no person or group 'release-manager': did you mean 'release-managers'?"),
        ("count: 1", "count: 3", "13:25: 3 approvals are asked for, of 2 at most: lower the count, or add people"),
        ("[{count: 1, of: [release-managers]}]", "[{count: 3, of: [alice, bob, alice, release-managers]}]", "13:25: 3 approvals are asked for, of 2 at most: lower the count, or add people"),
        ("approvers_group: gate-approvers", "approvers_group: nobodies", "4:18: no Unix group 'nobodies' on this host: create it, or name another"),
        ("gitlab-job}\n", "gitlab-job}\nexit_codes: {rejected: 83}\n", "16:24: 83 is the default of 'refused' already: give each outcome a code of its own"),
        ("gitlab-job}\n", "gitlab-job}\nexit_codes: {rejected: 9, refused: 9}\n", "16:36: 9 is the code of 'rejected' already: give each outcome a code of its own"),
    ],
)  # fmt: skip
def test_a_fault_of_meaning_is_told_in_words_at_its_place(old: str, new: str, expected: str) -> None:
    extra = [fault for fault in faults_of(changed(old, new)) if "no person or group 'release-managers'" not in fault]
    assert extra == [expected]


def test_two_people_with_one_unknown_unix_user_are_a_fault() -> None:
    text = changed("unix: bob", "unix: ghost").replace("unix: alice", "unix: ghost")
    expected = "7:15: the Unix user 'ghost' is alice's already: one human is one person, remove one"
    assert faults_of(text) == [expected]


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        changed("site:", "siite:").replace("4h", "4").replace("alice, bob]", "alice, bib]").replace("run_as", "runas")
    )
    assert [fault[:5] for fault in faults_of(text)] == ["2:1: ", "9:29:", "14:20", "15:10", "15:24"]


def test_what_follows_from_a_fault_is_not_told_again() -> None:
    text = changed("{unix: bob, gitlab: [bob]}", "7").replace("allow", "x").replace("count: 1", "count: 2")
    assert faults_of(text) == [
        "7:8: 'bob' must be keys with values, and is '7': write for instance bob: {unix: alice, gitlab: [alice, 4711]}"
    ]
