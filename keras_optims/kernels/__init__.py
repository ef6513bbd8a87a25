"""What a step does differently on each backend; each module has the same functions.

`traced_as_written(function)`: the function, which no tracer rewrites before it traces it.
`no_gradient()`: a context in which updates are not differentiated.
`outside_of_a_trace()`: a context in which assignments happen now, also while a step is being traced.
`prepared(optimizer, gradients, variables)`: the gradients in the dtype of the step's arithmetic; dense, or a `RowGradient`.
`run_if(predicate, action, otherwise, state)`: runs one of two functions that read and assign the variables `state`.
`assign(optimizer, variable, value)`: sets a model's variable, in its own dtype.
`decayed(variable, decay, rate)`: the variable after weight decay, θ − θ·λ·η, with the rounding of Keras on that backend.
`rounded(value, dtype)`: a float32 tensor with its numbers rounded to a half-precision dtype, still as float32.
`update(optimizer, gradients, variables, learning_rate)`: weight decay and formula of all variables, by the fused kernel that the
optimizer names where there is one for it, else by its `update_step`.
`path_of(optimizer, variable)`: the `Path` on which `update` takes a variable with a dense gradient.
`add_grouped_slot(optimizer, slot, variables, name, initializers)`: makes a slot's buffers for the groups of small variables, and
returns the members' parts of them by the id of the member; the other variables have slot variables of their own.
`parts_of(optimizer, variable)`: ((slot, path), part) of each member's part of such a buffer; empty for any other variable.
`count(iterations)`: adds 1 to the number of steps.
`finish_build(optimizer)`: called when an optimizer has made its slots.
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

traced_as_written = _backend.traced_as_written
no_gradient = _backend.no_gradient
outside_of_a_trace = _backend.outside_of_a_trace
prepared = _backend.prepared
run_if = _backend.run_if
assign = _backend.assign
decayed = _backend.decayed
rounded = _backend.rounded
update = _backend.update
path_of = _backend.path_of
add_grouped_slot = _backend.add_grouped_slot
parts_of = _backend.parts_of
count = _backend.count
finish_build = _backend.finish_build
