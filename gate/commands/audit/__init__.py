"""`gate audit`: its subcommands."""
