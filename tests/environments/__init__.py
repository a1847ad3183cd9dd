"""Environments that users have: a table, the command that builds and runs them, and their tests."""
