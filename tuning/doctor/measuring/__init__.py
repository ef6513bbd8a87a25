"""The facts that need Keras and its backend; a stage is a function without arguments that returns them, ready for JSON."""

STAGES = {
    "starting": "devices:starting",
    "devices": "devices:devices",
    "kernels": "kernels:kernels",
    "placement": "kernels:placement",
    "elementary": "parity:elementary",
    "optimizers": "parity:optimizers",
    "forward": "forward:forward",
    "synchronized": "speed:synchronized",
    "optimizer_speed": "speed:optimizers",
    "model_speed": "speed:models",
    "protected": "forward:protected",
}
"""Stage → module:function, in the order in which they are measured. The last one needs a process of its own."""
