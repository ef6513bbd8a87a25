"""`keras_optims.metal.protect()`: what it switches off, where, and when it warns."""

import json

import pytest

import keras_optims

PLUG_IN = {"system": "Darwin", "machine": "arm64", "backend": "tensorflow", "version": "1.2.0"}

# Started as on a Mac, or not: the graph that TensorFlow makes of a dense layer, before and after `protect`.
PROGRAM = """
import importlib.metadata, json, platform, sys, warnings
from unittest import mock
import tensorflow as tf
import keras_optims
from keras_optims.metal.tracing import operations

late, on_mac = "late" in sys.argv, "mac" in sys.argv
weights, biases = tf.Variable(tf.random.normal((64, 64))), tf.Variable(tf.ones(64))
x = tf.ones((32, 64)) if late else None  # without it, TensorFlow has not started yet


def dense():
    return tf.function(lambda x: tf.nn.relu(tf.nn.bias_add(tf.matmul(x, weights), biases)))


def fused(function):
    return any("Fused" in operation for operation, _ in operations(function, tf.ones((32, 64))))


first = dense()
before = fused(first) if late else None
with warnings.catch_warnings(record=True) as caught, mock.patch("keras_optims.metal.protection.on_metal", lambda: on_mac):
    warnings.simplefilter("always")
    did = keras_optims.metal.protect()
print(json.dumps({"did": did, "before": before, "after": fused(dense()), "warnings": [str(w.message) for w in caught]}))
"""


@pytest.fixture
def protected(forks, tmp_path):
    """What the program finds in a process of its own."""

    def found(*how):
        (tmp_path / "program.py").write_text(PROGRAM)
        returncode, output = forks.run(tmp_path, "program.py", *how)
        assert returncode == 0, output
        return json.loads(output.splitlines()[-1])

    return found


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_it_keeps_a_dense_layer_unfused_from_then_on(protected):
    assert protected("mac") == {"did": True, "before": None, "after": False, "warnings": []}


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_called_after_a_function_has_run_it_warns_and_says_where_to_call_it(protected):
    found = protected("mac", "late")
    assert found["before"]
    assert not found["after"]
    (warning,) = found["warnings"]
    assert "must be called before anything is computed" in warning


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_elsewhere_it_changes_nothing(protected):
    assert protected("late") == {"did": False, "before": True, "after": True, "warnings": []}


@pytest.mark.parametrize(
    "missing",
    [{"system": "Linux"}, {"machine": "x86_64"}, {"backend": "jax"}, {"version": None}],
    ids=["another system", "an Intel Mac", "another backend", "without the plug-in"],
)
def test_it_is_for_tensorflow_with_the_plug_in_on_apple_silicon_only(monkeypatch, missing):
    from keras_optims.metal import protection

    def seem(system, machine, backend, version):
        def installed(package):
            if version is None:
                raise protection.importlib.metadata.PackageNotFoundError(package)
            return version

        monkeypatch.setattr(protection.platform, "system", lambda: system)
        monkeypatch.setattr(protection.platform, "machine", lambda: machine)
        monkeypatch.setattr(protection.keras.backend, "backend", lambda: backend)
        monkeypatch.setattr(protection.importlib.metadata, "version", installed)

    seem(**PLUG_IN)
    assert protection.on_metal()
    seem(**{**PLUG_IN, **missing})
    assert not protection.on_metal()
    assert not keras_optims.metal.protect()
