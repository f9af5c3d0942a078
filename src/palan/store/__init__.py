"""Durable state: one SQLite file per engine, and a directory of blobs."""
