"""One module per command, or per few small ones: its options and what it does."""
