"""What a click means: pure numpy."""
