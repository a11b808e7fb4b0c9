"""What is decided, and by which rules: pure, without files."""
