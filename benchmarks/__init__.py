"""Benchmarks of the SDK: one command per question, with ratios from the same run."""
