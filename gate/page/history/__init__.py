"""The page's index of the audit log, and the search in it."""
