"""What the speed benchmarks share: a server of their own, clients, processes and tables."""
