"""The command line: arguments in, one library call, output. No arithmetic, and nothing heavy is imported for --help."""

from savs.cli.entry import main

__all__ = ["main"]
