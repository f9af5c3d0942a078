"""Access to the machine: one thin, blocking module per kernel facility or program; no policy."""
