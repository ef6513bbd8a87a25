"""`python -m tuning` is the command `keras-optims`."""

import sys

from tuning.command.line import main

if __name__ == "__main__":
    sys.exit(main())
