"""OCI distribution client: pull, push and authentication (not built yet)."""
