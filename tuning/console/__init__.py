"""What a person sees in a terminal: the live view of a search, and tables of results."""
