"""Log drivers: the output of containers is kept in files, and sent to other receivers.

conmon writes a log file for every container with a driver other than ``none``.  ``logs`` reads
that file, whichever the driver is, and so do drivers that ship lines to a receiver.  A driver
that is slow or unreachable therefore neither delays a container nor loses lines, as long as the
file has them.

The room's class is in :mod:`palan.engine.logdrivers.room`.  It is not imported here, as the
command line imports this package to validate options, and should not wait for the rest.
"""
