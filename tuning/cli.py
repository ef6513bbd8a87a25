"""The entry point that the installed command `keras-optims` names."""

from tuning.command.line import main

__all__ = ["main"]
