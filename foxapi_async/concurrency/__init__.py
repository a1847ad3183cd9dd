"""Tools for structured concurrency that the session's guarantees need beyond anyio."""
