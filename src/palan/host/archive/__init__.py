"""Tar archives: unpack untrusted ones, pack directory trees.

:mod:`~palan.host.archive.unpack` starts a child process that unpacks into one directory,
:mod:`~palan.host.archive.pack` one that writes a directory tree as a tar stream, and
:mod:`~palan.host.archive.reader` parses tar streams. This module imports nothing, so that the
child starts quickly.
"""
