"""One readable script for each question; run them as modules from the repository's root."""

import signal
import sys

# So Python names a module of `python -m` before it has found it. Until a script has imported what
# it needs, Ctrl-C ends it as any other signal does: raised within an import it may become an
# ImportError, and exit code 1, which says that something diverges. `begin_command` takes over.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
