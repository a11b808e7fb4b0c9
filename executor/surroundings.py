"""The old name of executor/runner_contract.py: a job that has waited since then imports `in_words` from here at each step."""

from executor.runner_contract import in_words

__all__ = ["in_words"]
