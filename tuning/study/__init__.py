"""A search in progress: the tuner, and what holds oracle, scheduler and store in step."""
