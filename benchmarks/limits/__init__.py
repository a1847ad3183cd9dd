"""How well a session finds limits that no document names; run ``python -m benchmarks.limits``."""
