"""`gate rehearse`: plays the runner, and runs one job through the four stages."""
