"""All checks of `gate check`, in the order in which an operator fixes."""

from __future__ import annotations

from executor.checks import (
    answering,
    gate_yaml,
    host,
    installation,
    job_host,
    job_user,
    log,
    page,
    people,
    rules,
    state,
)
from executor.checks.check import Check, Need
from executor.checks.runner import capacity, neighbours, runner_file, runners, service, stages, timeouts

_POLICY, _STATE = (Need.POLICY,), (Need.POLICY, Need.STATE)
_INSIDE = (*_STATE, Need.POWER)


_OF_THE_HOST = (
    Check("gate-yaml", "every fault in gate.yaml, and what is odd; whose it is, and who can write it", gate_yaml.find),
    Check(
        "rules",
        "what each rule asks for; that its people can answer, that there can be such jobs, that no looser rule below "
        "gets nearly the same ones, and that it denies variables that carry code",
        rules.find,
        _POLICY,
    ),
    Check(
        "people", "that everybody whom a rule asks has a way to answer; who has none, and why", answering.find, _POLICY
    ),
    Check(
        "approvers",
        "that people who have a user here are in `approvers_group`, and get at the command, gate.yaml and their "
        "drop directories",
        people.approvers,
        _POLICY,
    ),
    Check("state", "owner and mode of `state_dir`, its parents, and what the gate keeps in it", state.find, _POLICY),
    Check("requests", "owner and mode of each request's directory, and of its `votes/`", state.requests, _INSIDE),
    Check("drops", "that each person's drop directory is there, and theirs alone", state.drops, _INSIDE),
    Check(
        "disk",
        "that `state_dir` is on a local disk, which takes a file and an fsync, stays, and lets programs run",
        host.disk,
        _INSIDE,
    ),
    Check("space", "room on that disk, in bytes and in files", host.space, _STATE),
    Check(
        "audit-log", "that the log verifies, and that somebody listens where `copy_to` sends copies", log.find, _INSIDE
    ),
    Check(
        "append-only",
        "`chattr` flags: all of the log has `+a`, or none; nothing that is rewritten has",
        log.append_only,
        _INSIDE,
    ),
    Check(
        "hard-links",
        "that no one can give a file of the gate's a name of their own (`fs.protected_hardlinks`), and that no one has",
        host.hard_links,
        _INSIDE,
    ),
    Check("programs", "that no one else can change the venv, or what the runner calls", installation.find),
    Check(
        "on-event",
        "that the command of `on_event` can be run, and that only the gate's user owns it",
        installation.on_event,
        _POLICY,
    ),
    Check(
        "job-user",
        "tries as each user that jobs run as: no secret read, nothing written, no page or container engine reached, "
        "no signal sent",
        job_user.find,
        _INSIDE,
    ),
    Check(
        "job-host",
        "what jobs find on the host: git, gitlab-runner and its version, a home; and that no login, key, crontab or "
        "at(1) of their user outlives them",
        job_host.find,
        _INSIDE,
    ),
    Check(
        "namespaces",
        "that scripts can be run as `backend` says; really starts `true` that way",
        host.namespaces,
        (*_POLICY, Need.POWER),
    ),
    Check("clock", "that something keeps the wall clock right, and that it is not behind the log", host.clock, _STATE),
    Check(
        "page",
        "that the page answers at each of its doors, whom its sockets are for, and that somebody can log in "
        "where `listen` is",
        page.find,
        _POLICY,
    ),
)
OF_CONFIG_TOML = (
    Check("runner-config", "that config.toml is there, the runner's alone, and of the right form", runner_file.find),
    Check("runners", "that some `[[runners]]` calls the gate, and nothing in it works against that", runners.find),
    Check(
        "other-runners",
        "that no other `[[runners]]` has the gate's token, or lets its jobs become the gate's user on this host",
        neighbours.find,
        (Need.RUNNERS,),
    ),
    Check(
        "stages",
        "that all four stages are wired to one program, by absolute paths, for one gate.yaml; really starts it",
        stages.find,
        (Need.RUNNERS,),
    ),
    Check(
        "prepare-timeout",
        "that `prepare_exec_timeout` and `--prepare-timeout` are one, and enough for the rules",
        timeouts.prepare,
        (Need.RUNNERS,),
    ),
    Check(
        "kill-timeouts",
        "that what is ended can write that down: graceful, force, `shutdown_timeout`, those of config and cleanup",
        timeouts.kill,
        (Need.RUNNERS,),
    ),
    Check(
        "places",
        "`concurrent`, `limit` and `request_concurrency`, against jobs that wait",
        capacity.places,
        (Need.RUNNERS,),
    ),
    Check(
        "inotify",
        "that there are inotify instances, of which two jobs need one each, to listen for all that wait",
        capacity.inotify,
        (Need.RUNNERS,),
    ),
    Check(
        "runner-unit",
        "gitlab-runner's version; whom its systemd unit runs as, what it leaves the gate, and that it waits for its "
        "jobs when it is stopped",
        service.find,
        (Need.RUNNERS,),
    ),
)
CHECKS = (*_OF_THE_HOST, *OF_CONFIG_TOML)
