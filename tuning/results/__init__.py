"""What was found, read from stores, in this project's terms and in those of others."""
