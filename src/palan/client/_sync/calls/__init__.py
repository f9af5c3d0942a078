# Made of _async/calls/__init__.py by scripts/client_sync.py: change that, and run this.
"""The methods that follow from the declared endpoints."""
