"""From what people leave to votes: drops, the page's files, signed statements."""
