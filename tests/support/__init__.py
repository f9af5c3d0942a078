"""What the tests of the engine share: an engine of their own, raw HTTP, an image."""
