"""The client for asyncio; ``_sync`` is generated from everything except ``io`` and ``shielded``."""
