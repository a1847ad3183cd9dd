"""How well a session finds undocumented limits; run ``python -m benchmarks.limits``."""
