"""Checks of this machine, above all of a Mac's GPU: what is installed, what runs where, whether results are right, how fast."""
