"""The engine: what containers, images, networks and the rest are and do."""
