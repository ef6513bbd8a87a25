"""The process and the machine: what they are, how they start quietly, how they are interrupted."""
