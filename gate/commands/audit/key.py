"""`gate audit key` and `gate audit checkpoint`: heads that the gate signs, to be kept elsewhere."""

from __future__ import annotations

import json
import os
import pwd
from typing import TYPE_CHECKING

import click

from audit import checkpoint as checkpoints
from config.load import load_policy_as_reader
from gate.commands.fault import CommandError
from gate.commands.options import json_option
from gate.store import audit_key, layout

if TYPE_CHECKING:
    from gate.shapes import Policy


@click.command()
@json_option()
@click.pass_obj
def key(config: str, as_json: bool) -> None:
    """Print the verifier key of this gate's checkpoints, for the people who keep them.

    Makes the key where there is none.
    """
    policy = _policy_of_runner(config, "make and read the key")
    if audit_key.make(policy["state_dir"], policy["site"]):
        click.echo(
            f"made {layout.audit_key(policy['state_dir'])}; keep this where no one who could change it can write",
            err=True,
        )
    found = audit_key.load(policy["state_dir"]).verifier
    if found.name != policy["site"]:
        click.echo(f"note: it was made when this site was called {found.name}, and keeps that name", err=True)
    click.echo(json.dumps({"name": found.name, "verifier_key": str(found)}, indent=2) if as_json else str(found))


@click.command()
@json_option()
@click.pass_obj
def checkpoint(config: str, as_json: bool) -> None:
    """Print a signed note of the log's last record, to be kept elsewhere and given to `gate audit verify`."""
    policy = _policy_of_runner(config, "sign a checkpoint")
    signer = audit_key.load(policy["state_dir"])
    note = checkpoints.made(layout.audit(policy["state_dir"]), signer)
    if as_json:
        head = checkpoints.opened(note.encode(), "it", [signer.verifier])
        told = {"log_id": head.log_id, "seq": head.seq, "sha256": head.sha256, "note": note}
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(note, nl=False)


def _policy_of_runner(config: str, what: str) -> Policy:
    """The policy, for R alone: the owner of the state directory.

    Raises:
        CommandError: this is somebody else; it says who can.
    """
    policy, _digest = load_policy_as_reader(config)
    try:
        owner = os.lstat(policy["state_dir"]).st_uid
    except OSError as error:
        raise CommandError(
            f"{policy['state_dir']} cannot be used ({error.strerror}): the first job makes it"
        ) from error
    if owner != os.geteuid():
        raise CommandError(f"only {_name_of(owner)}, whom the gate runs as, can {what}")
    return policy


def _name_of(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
