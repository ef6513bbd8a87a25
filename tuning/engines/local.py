"""Trials in several processes of this machine."""
