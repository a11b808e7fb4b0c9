"""The old name of executor/runner_contract.py: jobs that have waited since then import `in_words` from here."""

from executor.runner_contract import in_words

__all__ = ["in_words"]
