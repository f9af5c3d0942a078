"""The blocking client: ``io`` by hand, all else by ``scripts/client_sync.py``."""
