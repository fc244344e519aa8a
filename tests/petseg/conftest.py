"""Fixtures that several of these tests share, most of them for the command line."""

from tests.support.command_line import folder, put, run, runs  # noqa: F401
