"""Where a pair parts: which modules, and which lines of both sides."""
