"""When to look at which task, what a look means, and the one coroutine that looks."""
