"""What becomes of a training after each epoch."""
