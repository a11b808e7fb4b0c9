"""The `[[runners]]` block of config.toml for this host: runner-config.example.toml with this host's paths."""

from __future__ import annotations

import json
import os
import sys

from gate import DEFAULT_CONFIG

_TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(_TOP, "runner-config.example.toml")  # beside the packages, in the checkout and in the wheel
_EXECUTOR = "/opt/gitlab-runner-gate/bin/gate-executor"


def program(name: str) -> str:
    """The path of `gate` or `gate-executor` in the venv that this runs from."""
    return os.path.join(os.path.dirname(sys.executable), name)


def runner_block(config: str) -> str:
    """Return the block for a gate.yaml at `config`, with no blank line at its end."""
    with open(EXAMPLE, encoding="utf-8") as example:
        block = "[[runners]]\n" + example.read().partition("[[runners]]\n")[2]
    for example_path, path in ((_EXECUTOR, program("gate-executor")), (DEFAULT_CONFIG, config)):
        block = block.replace(_quoted(example_path), _quoted(path))
    return block.rstrip("\n")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # without control characters, a JSON string is a TOML one
