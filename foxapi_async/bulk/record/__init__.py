"""The record of runs: which ran, how far they are, and which works on a task right now."""
