"""When to poll each task, what an answer means for it, and the one coroutine that polls."""
