"""Trains built-in problems as they were trained where their figures were published, and prints both beside each other.

    python scripts/published_figures.py [--only NAME ...] [--epochs N] [--seeds N] [--json FILE]

On the backend that KERAS_BACKEND names; `--epochs` ends each training early, and the published curve of DeepOBS is then compared
where it ends. All of it takes minutes on a GPU, and on a CPU of two cores about 3 days.
"""

import argparse
import json
import pathlib
import sys
import time

import keras
import numpy as np

import keras_optims
from tuning.problems import make_problem
from tuning.training import epochs as compiled
from tuning.training import warm

# Test accuracy after so many epochs, means of ten seeds: the result files of DeepOBS's baselines (Schneider, Balles and Hennig,
# ICLR 2019), github.com/fsschneider/DeepOBS_Baselines.
DEEPOBS = (1, 3, 5, 10, 20, 30, 50, 100)
STEPS_OF_RESNET = (82, 123)  # epochs after which He et al. divide the learning rate by 10: 32,000 and 48,000 steps


def by_10_after(model, *epochs):
    """A callback that divides the learning rate by 10 after these epochs."""
    first = float(model.optimizer.learning_rate)

    def rate(epoch, _):
        return first * 0.1 ** sum(epoch >= each for each in epochs)

    return keras.callbacks.LearningRateScheduler(rate)


def trained_with_validation(data):
    """What trains and what tests where no images were held out to validate, as in both papers on images."""
    return together(data.train, data.validation), data.test


def tested_on_the_rest(data):
    """What trains and what tests where all of the text that does not train is looked at."""
    return data.train, together(data.validation, data.test)


def together(one, other):
    """All samples of two parts."""
    return tuple(np.concatenate(sides) for sides in zip(one, other, strict=True))


def _warmed_up(rate, steps):
    return keras.optimizers.schedules.CosineDecay(0.0, steps - 100, alpha=0.1, warmup_target=rate, warmup_steps=100)


TRAININGS = {
    "fashion_mnist_2c2d, adam": {
        "problem": "fashion_mnist_2c2d",
        "optimizer": lambda: keras_optims.Adam(2.5118864315e-4, epsilon=1e-8),
        "epochs": 100,
        "published": dict(zip(DEEPOBS, (0.8526, 0.8855, 0.8967, 0.9099, 0.9070, 0.9111, 0.9173, 0.9234), strict=True)),
    },
    "fashion_mnist_2c2d, sgd": {
        "problem": "fashion_mnist_2c2d",
        "optimizer": lambda: keras_optims.GradientDescent(0.15848931925),
        "epochs": 100,
        "published": dict(zip(DEEPOBS, (0.8545, 0.8856, 0.8956, 0.9024, 0.9095, 0.9143, 0.9218, 0.9227), strict=True)),
    },
    "cifar10_3c3d, adam": {
        "problem": "cifar10_3c3d",
        "optimizer": lambda: keras_optims.Adam(3.9810717055e-4, epsilon=1e-8),
        "epochs": 100,
        "published": dict(zip(DEEPOBS, (0.5423, 0.6683, 0.7197, 0.7596, 0.7982, 0.8161, 0.8304, 0.8475), strict=True)),
    },
    "cifar10_3c3d, sgd": {
        "problem": "cifar10_3c3d",
        "optimizer": lambda: keras_optims.GradientDescent(6.3095734448e-2),
        "epochs": 100,
        "published": dict(zip(DEEPOBS, (0.4492, 0.5938, 0.6701, 0.7436, 0.7851, 0.8043, 0.8233, 0.8371), strict=True)),
    },
    # He, Zhang, Ren and Sun, CVPR 2016, table 6. Their decay is in the loss, so that momentum sums it up: ten times as much.
    "cifar10_resnet20, momentum": {
        "problem": "cifar10_resnet20",
        "optimizer": lambda: keras_optims.Momentum(0.1, momentum=0.9, weight_decay=1e-3),
        "epochs": 164,
        "callbacks": lambda model: [by_10_after(model, *STEPS_OF_RESNET)],
        "published": {164: 0.9125},
    },
    # github.com/karpathy/nanoGPT, README, "I only have a macbook": a cross-entropy of 1.88 on the last tenth of the text after
    # 2,000 steps with 12 contexts of 64 characters each, and here 2,614 with 6 of 128.
    "shakespeare_gpt, adamw": {
        "problem": "shakespeare_gpt",
        "optimizer": lambda: keras_optims.AdamW(
            _warmed_up(1e-3, 2614),
            beta_2=0.99,
            weight_decay=0.1,
            global_clipnorm=1.0,
            rules=[keras_optims.Rule(ndim=(0, 1), weight_decay=0.0)],
        ),
        "parts": tested_on_the_rest,
        "batch_size": 6,
        "epochs": 2,
        "published": {2: 1.88},
    },
}


def run(name, seed, most, report):
    """Trains once; `report`: called with (epoch, test metric, seconds so far)."""
    training = TRAININGS[name]
    problem = make_problem(training["problem"])
    batch_size = training.get("batch_size", problem.batch_size)
    data = problem.load(batch_size=batch_size)
    train, test = training.get("parts", trained_with_validation)(data)
    train = tuple(side[: len(side) // batch_size * batch_size] for side in train)
    warm.seed_everything(seed)
    model = problem.build()
    model.compile(training["optimizer"](), problem.loss, metrics=problem.metrics)
    begun = time.monotonic()

    class Reported(keras.callbacks.Callback):
        """Evaluates on the test data where something was published, every ten epochs, and in the end."""

        def on_epoch_end(self, epoch, logs=None):
            """Evaluates."""
            done = epoch + 1
            if done in training["published"] or done % 10 == 0 or done == total:
                found = self.model.evaluate(*test, batch_size=500, verbose=0, return_dict=True)
                report(done, found[problem.objective.removeprefix("val_")], time.monotonic() - begun)

    total = min(most or training["epochs"], training["epochs"])
    others = training.get("callbacks", lambda model: [])(model)
    compiled.fit(model, *train, batch_size=batch_size, epochs=total, callbacks=[Reported(), *others], verbose=0)


def main() -> int:
    """Parses arguments and trains."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=list(TRAININGS), default=list(TRAININGS), metavar="NAME")
    parser.add_argument("--epochs", type=int, help="at most so many of each training")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also append what is found, a line each, to FILE")
    arguments = parser.parse_args()
    print("| training | seed | epoch | test | published | seconds |\n|---|---|---|---|---|---|")
    for name in arguments.only:
        for seed in range(arguments.seeds):

            def report(epoch, value, seconds, name=name, seed=seed):
                published = TRAININGS[name]["published"].get(epoch)
                print(f"| {name} | {seed} | {epoch} | {value:.4f} | {published or ''} | {seconds:.0f} |", flush=True)
                if arguments.json:
                    line = {"training": name, "seed": seed, "epoch": epoch, "test": value, "published": published}
                    with arguments.json.open("a") as file:
                        print(json.dumps({**line, "seconds": seconds, "backend": keras.backend.backend()}), file=file)

            run(name, seed, arguments.epochs, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
