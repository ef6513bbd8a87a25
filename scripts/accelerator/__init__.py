"""The parts of `scripts/measure_accelerator.py`: what a child process measures, the time it may take, and the table."""
