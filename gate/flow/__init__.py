"""A request's way: announced, decided, recorded, reported."""
