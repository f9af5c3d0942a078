"""Palan: the Docker Engine API, whole, in Python.

Two halves on one contract: an engine (``palan serve``) that runs real OCI
containers and answers the Docker Engine API, and a typed client for every
endpoint of that API.  The contract itself is :mod:`palan.api`.
"""

__version__ = "0.1.0"
