"""How good, how robust and how fast: the numbers petseg reports."""
