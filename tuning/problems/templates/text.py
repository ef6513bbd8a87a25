"""Texts: does a sentence praise? Put your texts, your model and your classes in the place of these."""

import random

import keras
import numpy as np

import tuning

WORDS, LENGTH = 1000, 12  # that are told apart; of the longest text, what is beyond is cut off


def sentences():
    """Texts and their classes, made up here; yours may be lines of a file."""
    draw = random.Random(0)
    for _ in range(1000):
        good, negated = draw.random() < 0.5, draw.random() < 0.5
        word = draw.choice(["good", "lovely", "clever"] if good else ["bad", "dull", "clumsy"])
        thing, adverb = draw.choice(["film", "book", "song", "play"]), draw.choice(["really", "quite", "rather", "very"])
        yield f"the {thing} was {'not ' * negated}{adverb} {word}", int(good != negated)


def data():
    """Called once in each process that trains. A fifth of `train`, always the same, is held out to select settings by."""
    texts, classes = zip(*sentences(), strict=True)
    words = sorted({word for text in texts for word in text.split()})[: WORDS - 2]
    numbers = {word: number for number, word in enumerate(words, start=2)}  # 0: no word, 1: an unknown one
    x = np.zeros((len(texts), LENGTH), "int32")
    for row, text in zip(x, texts, strict=True):
        known = [numbers.get(word, 1) for word in text.split()[:LENGTH]]
        row[: len(known)] = known
    y = np.array(classes, "float32")[:, None]
    return tuning.Data(train=(x[:800], y[:800]), test=(x[800:], y[800:]))


def model():
    """A new model for each trial, not compiled."""
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(WORDS, 16),
            keras.layers.Conv1D(32, 3, activation="relu"),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def make_problem():
    """What `--problem` names."""
    return tuning.Problem(
        name="my_texts",
        data=data,
        model=model,
        loss="binary_crossentropy",
        metrics=["accuracy"],
        objective="val_accuracy",
        batch_size=32,
        epochs=3,
    )
