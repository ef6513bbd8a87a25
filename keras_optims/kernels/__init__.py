"""What a step does differently on each backend; each module has the same functions.

`no_gradient()`: a context in which updates are not differentiated.
`outside_of_a_trace()`: a context in which assignments happen now, also while a step is being traced.
`to_dense(gradient)`: the gradient as a dense tensor.
`run_if(predicate, action, otherwise, state)`: runs one of two functions that read and assign the variables `state`.
`assign(optimizer, variable, value)`: sets a model's variable, in its own dtype.
`decayed(variable, decay, rate)`: the variable after weight decay, θ − θ·λ·η, with the rounding of Keras on that backend.
`update(optimizer, gradients, variables, learning_rate)`: weight decay and formula of all variables, by the fused kernel that the
optimizer names where there is one for it, else by its `update_step`.
"""

import importlib

import keras

_BACKENDS = ("tensorflow", "jax", "torch")

if keras.backend.backend() not in _BACKENDS:
    raise ImportError(
        f"keras-optims runs on the Keras backends {', '.join(_BACKENDS)}; the backend in use is {keras.backend.backend()!r} "
        "(see the environment variable KERAS_BACKEND)."
    )

_backend = importlib.import_module(f"keras_optims.kernels.{keras.backend.backend()}")

no_gradient = _backend.no_gradient
outside_of_a_trace = _backend.outside_of_a_trace
to_dense = _backend.to_dense
run_if = _backend.run_if
assign = _backend.assign
decayed = _backend.decayed
update = _backend.update
