"""What became of each request: the results file, the files, their names and what is written beside them."""
