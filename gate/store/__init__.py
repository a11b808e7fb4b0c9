"""A request on disk: its files, its heartbeat, where things are kept."""
