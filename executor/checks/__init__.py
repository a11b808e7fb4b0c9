"""The checks of `gate check`: of gate.yaml, of what the gate keeps on disk, and of the host around it.

A check is a function that takes a `Context` and yields `Finding`s. What it asks the host for comes in by the context,
so that a test brings its own host.
"""
