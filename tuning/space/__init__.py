"""What is searched: the axes, their scales, and how they are written on a command line."""
