"""What an optimizer is checked with: its formulas in float64, and a step that is compiled as in training."""
