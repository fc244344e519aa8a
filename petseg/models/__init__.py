"""Which models there are, what they say about themselves, and how they get here."""
