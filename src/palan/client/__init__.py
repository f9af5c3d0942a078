"""The Python client (not built yet)."""
