"""Job files: from bytes in any format to requests with keys, own columns and local files."""
