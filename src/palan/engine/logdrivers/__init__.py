"""Log drivers: where the output of containers goes beside, or instead of, the engine's files.

conmon writes a log for every container with a driver other than ``none``.  That file is what
``logs`` reads, whichever the driver is, and what drivers that ship lines elsewhere read from;
so a driver that is slow or unreachable neither holds up a container nor loses lines, as long
as the file keeps them.
"""
