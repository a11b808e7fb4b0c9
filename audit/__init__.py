"""The append-only audit log. Imports nothing else of this project."""
