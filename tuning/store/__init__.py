"""Where a search is kept: its database, the lock of its folder, and how files are written."""
