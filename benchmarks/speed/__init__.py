"""Shared parts of the speed benchmarks: server, clients, processes and tables."""
