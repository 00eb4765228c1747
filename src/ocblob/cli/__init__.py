"""The command line: each command parses, makes one call, prints. One command a file, named as the command."""

from ocblob.cli.main import main

__all__ = ["main"]
