"""The results as a table with a row per line of the jobs of a directory."""
