"""Start here: `python main.py` opens the workstation, `python main.py --help` tells the rest."""

import multiprocessing
import sys

if __name__ == "__main__":
    multiprocessing.freeze_support()
    from app.bootstrap import run

    sys.exit(run(sys.argv[1:]))
