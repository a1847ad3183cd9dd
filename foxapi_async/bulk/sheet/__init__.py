"""The contact sheet: pages, search and thumbnails of all pictures of a directory."""
