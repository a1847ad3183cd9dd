"""How the service is spoken to: one request, what its answer means, and whether it may be repeated."""
