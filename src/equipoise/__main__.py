"""`python -m equipoise`."""

import os
import sys

from .cli import main

status = main()
if "WORLD_SIZE" in os.environ:  # of several processes: where Python takes itself apart, torch's threads abort some
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
sys.exit(status)
