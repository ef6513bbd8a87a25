"""What a user calls: a search, a comparison, one training."""
