"""Where the entry file is: what starts a stage as a process of its own starts that."""

import os


def entry_point() -> str:
    """The path of gitlab_runner_gate.py: beside this package in a checkout, above its private directory in a wheel."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    beside = os.path.join(root, "gitlab_runner_gate.py")
    return beside if os.path.exists(beside) else os.path.join(os.path.dirname(root), "gitlab_runner_gate.py")
