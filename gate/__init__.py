"""The decision: requests, votes, rules, the store on disk, and the ways in."""

__version__ = "0.1.0"
# Where programs of the host are looked for, whatever PATH is: after `su` it may have no sbin.
TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_CONFIG = "/etc/gitlab-runner-gate/gate.yaml"
