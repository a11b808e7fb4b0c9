"""The decision: requests, votes, rules, the store on disk, and the ways in."""

__version__ = "0.1.0"
DEFAULT_CONFIG = "/etc/gitlab-runner-gate/gate.yaml"
