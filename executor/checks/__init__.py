"""The checks of `gate check` that need the store, the audit log or the backend; the others are in config/checks/."""
