"""``python -m palan``: the ``palan`` command."""

import sys

from palan.cli import main


sys.exit(main())
