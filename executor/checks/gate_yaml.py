"""gate.yaml: whose it is, who can read it, every fault in it, and what is odd."""

import os
import re
import shlex
from collections.abc import Iterator

import yaml

from config.accounts import Host
from config.faults import ConfigError, Fault
from config.host import weaknesses
from config.load import load_file
from executor.checks.context import Context, GateYaml
from executor.checks.editor import in_editor, weak
from executor.checks.finding import Finding, fail, ok, warn

_USER = "gitlab-job"  # who is named in place of a user that jobs must not run as; README's own


def loaded(path: str, runner_uid: int, host: Host) -> GateYaml:
    """Return gate.yaml at `path`, which has to be of `runner_uid` or root."""
    try:
        policy, digest = load_file(path, runner_uid, host=host)
    except ConfigError as error:
        return GateYaml(path, faults=error)
    return GateYaml(path, policy, digest)


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    path, faults = context.gate_yaml.path, context.gate_yaml.faults
    if faults is None:
        yield ok(f"{path} (sha256 {context.gate_yaml.digest})")
        for aside in context.policy["asides"]:
            yield fail(aside["message"], aside["fix"] or in_editor(path))
        for each in context.policy["warnings"]:
            yield warn(each, in_editor(path))
        return
    of_the_path = _weaknesses(context)
    yield from of_the_path
    for fault in faults.faults:
        if fault.line or not of_the_path:
            yield fail(str(fault), fault.fix or _other_user(fault) or _by_hand(context, fault.line))


def _by_hand(context: Context, line: int) -> str:
    path = context.gate_yaml.path
    return in_editor(path, line) if os.path.lexists(path) else f"{context.with_config(path)} init"


def _weaknesses(context: Context) -> list[Finding]:
    """What is wrong with the path; in the words that the loader has for it, too, so that they are not told twice."""
    try:
        found = weaknesses(context.gate_yaml.path, context.runner_uid)
    except (OSError, ValueError):
        return []
    return [weak(context, each) for each in found]


def _other_user(fault: Fault) -> str:
    """The command that names another user where jobs must not run as this one; empty where there is no safe one."""
    if not fault.path or fault.path[-1] != "run_as" or not fault.line:
        return ""
    with open(fault.file, encoding="utf-8") as file:
        text = file.read()
    lines, named = text.split("\n"), _value(text, fault)
    before = lines[fault.line - 1][: fault.column - 1]
    lines[fault.line - 1] = before + _USER + lines[fault.line - 1][fault.column - 1 :].removeprefix(named)
    is_plain = before.isascii() and re.fullmatch(r"[\w.-]+", named, re.ASCII) and named != _USER
    if not is_plain or _value("\n".join(lines), fault) != _USER:
        return ""
    script = rf"{fault.line}s/^\(.\{{{fault.column - 1}\}}\){re.escape(named)}/\1{_USER}/"
    user = f"id -u {_USER} >/dev/null || useradd --system --shell /usr/sbin/nologin {_USER}"
    return f"{user}; sed -i {shlex.quote(script)} {shlex.quote(fault.file)}"


def _value(text: str, fault: Fault) -> str:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return ""
    for part in fault.path:
        value = value[part]
    return str(value)
