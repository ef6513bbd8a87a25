"""What the built-in problems let vary of their models, and where a search looks; importing this needs nothing."""

from __future__ import annotations

ACTIVATION = ["relu", "gelu", "silu", "tanh"]
DROPOUT = (0.0, 0.5)

PERCEPTRON = {"units": (16, 256, "log"), "layers": (1, 3), "activation": ACTIVATION, "dropout": DROPOUT}
SMALL_CNN = {"filters": (8, 64, "log"), "activation": ACTIVATION, "dropout": DROPOUT}
NET_2C2D = {"units": (128, 2048, "log"), "activation": ACTIVATION, "dropout": DROPOUT}
NET_3C3D = {"units": (128, 1024, "log"), "activation": ACTIVATION, "dropout": DROPOUT}
TRANSFORMER = {"layers": (1, 6), "width": [32, 64, 128, 256], "heads": [1, 2, 4, 8], "dropout": DROPOUT}
RESNET = {"blocks": (1, 5), "filters": (8, 32, "log")}
