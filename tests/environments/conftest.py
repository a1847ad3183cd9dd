"""The foreign project is no part of these tests: it runs in an environment of its own."""

collect_ignore = ["foreign"]
