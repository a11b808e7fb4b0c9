"""The checks of `gate check`: of gate.yaml, of the runner's config.toml, and of the host around them.

A check is a function that takes a `Context` and yields `Finding`s. What it asks the host for comes in by the context, so
that a test brings its own host. Those that need the store, the log or the backend are in executor/checks/.
"""
