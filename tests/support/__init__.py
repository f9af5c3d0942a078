"""Helpers that tests share: an engine of their own, raw HTTP, images, fakes."""
