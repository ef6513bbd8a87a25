"""The picture of docs/step_log.md: what AdaGrad and RMSProp do to a small net, as `keras_optims.StepLogger` logs it.

    python scripts/picture_step_log.py [--epochs 40] [--output docs/pictures/step_log.png]

Trains the digits of scikit-learn on a 64-64-32-10 perceptron twice from the same weights, draws the log with Plotly, and has
Chromium turn the chart into a PNG file.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import plotly.graph_objects as go  # noqa: E402

import keras_optims  # noqa: E402
from scripts.chromium import side_by_side, write_pngs  # noqa: E402
from tuning.problems.digits import digits_mlp  # noqa: E402
from tuning.report.figure import BLUE, GREY, ORANGE  # noqa: E402

OPTIMIZERS = {"AdaGrad": (keras_optims.Adagrad(0.05), BLUE), "RMSProp": (keras_optims.RMSprop(0.001), ORANGE)}
LAYERS = {"first": "solid", "third": "dot"}
EVERY = 25  # steps


def train(optimizer, epochs, folder) -> list[dict]:
    """The lines of the log of a training."""
    data = digits_mlp().data()
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    model = keras.Sequential(
        [keras.Input((64,)), dense(64, "relu", name="first"), dense(32, "relu", name="second"), dense(10, name="third")]
    )
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    file = folder / f"{optimizer.name}.csv"
    logger = keras_optims.StepLogger(csv=file, every=EVERY)
    model.fit(*data.train, batch_size=16, epochs=epochs, verbose=0, callbacks=[logger])
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def of_variable(lines, name, quantity):
    """(steps, values) of a quantity of the variable whose path ends so."""
    own = [line for line in lines if line["variable"].endswith(name)]
    return [int(line["step"]) for line in own], [float(line[quantity]) for line in own]


def draw(logs) -> go.Figure:
    """Two charts beside each other: update-to-weight ratios of two kernels, effective learning rates of the last biases."""
    chart = side_by_side(
        "update-to-weight ratio of the kernels",
        "effective learning rates of the last biases",
        x1={"title_text": "step"},
        y1={"title_text": "ratio", "type": "log", "dtick": 1},
        x2={"title_text": "step"},
        y2={"title_text": "rate", "type": "log", "dtick": 1},
    )
    for name, (_, colour) in OPTIMIZERS.items():
        for layer, dash in LAYERS.items():
            steps, ratios = of_variable(logs[name], f"{layer}/kernel", "update_to_weight")
            line = {"color": colour, "dash": dash, "width": 2}
            chart.add_scatter(x=steps, y=ratios, mode="lines", line=line, name=f"{name}, {layer} layer", row=1, col=1)
        steps, lowest = of_variable(logs[name], "third/bias", "rate_min")
        _, highest = of_variable(logs[name], "third/bias", "rate_max")
        band = {"x": steps + steps[::-1], "y": highest + lowest[::-1], "fill": "toself", "mode": "none", "opacity": 0.25}
        chart.add_scatter(**band, fillcolor=colour, showlegend=False, row=1, col=2)
        _, mean = of_variable(logs[name], "third/bias", "rate_mean")
        chart.add_scatter(x=steps, y=mean, mode="lines", line={"color": colour, "width": 3}, showlegend=False, row=1, col=2)
    chart.add_hline(1e-3, line={"color": GREY, "width": 2}, row=1, col=1)
    return chart


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "pictures" / "step_log.png")
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        logs = {name: train(optimizer, arguments.epochs, pathlib.Path(folder)) for name, (optimizer, _) in OPTIMIZERS.items()}
    write_pngs(draw(logs), arguments.output)
    print(arguments.output)


if __name__ == "__main__":
    main()
