"""Measurements: one command per question."""
