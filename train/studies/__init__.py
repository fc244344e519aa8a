"""The published studies re-run: at which scale, what came out beside what was published, and the page."""
