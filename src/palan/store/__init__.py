"""Durable state: one SQLite file per engine."""
