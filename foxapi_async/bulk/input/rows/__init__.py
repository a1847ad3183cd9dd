"""Rows of job files: from bytes in one of several formats to named values."""
