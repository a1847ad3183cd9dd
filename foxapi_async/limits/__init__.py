"""Limits of a session: output slots, the budget of images, and the request rate."""
