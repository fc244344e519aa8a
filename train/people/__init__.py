"""Simulated people: what they mean, where they click, and how a model serves them."""
