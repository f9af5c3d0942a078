"""Tar archives: unpacking what nobody vouches for, packing directory trees.

:mod:`~palan.host.archive.unpack` starts a child that unpacks into one directory,
:mod:`~palan.host.archive.pack` makes a tar stream of a directory tree,
:mod:`~palan.host.archive.reader` takes tar streams apart.  Nothing is imported
here, so that the child starts quickly.
"""
