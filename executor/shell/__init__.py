"""A script's way to run: as another user, under an init of its own, in a work tree."""
