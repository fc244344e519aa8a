"""Trained models opened, compared and drawn."""
