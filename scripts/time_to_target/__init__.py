"""The parts of `scripts/benchmark_time_to_target.py`: cases, contestants, and tables."""
