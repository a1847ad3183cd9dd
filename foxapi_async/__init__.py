"""The asyncio-first Python SDK for FoxAPI."""
