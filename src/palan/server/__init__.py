"""HTTP: listeners, versions, decoding, hijacked connections, errors to statuses."""
