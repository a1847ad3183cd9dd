"""How much at once and how fast: places for images, the rate that the server bears, and tries."""
