"""The client for asyncio; everything but ``io`` is also the source of ``_sync``."""
