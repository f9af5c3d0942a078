"""The machine: one thin, blocking module per kernel facility or program, without policy."""
