"""These tests run in the environment `peers` alone, which has the independent implementations."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("pytorch_optimizer") else ["test_*.py"]
