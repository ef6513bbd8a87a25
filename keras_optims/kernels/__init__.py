"""What a step does differently on each backend; each module has the same functions.

`traced_as_written(function)`: the function, which no tracer rewrites before it traces it.
`no_gradient()`: a context in which updates are not differentiated.
`outside_of_a_trace()`: a context in which assignments happen now, also while a step is being traced.
`prepared(optimizer, gradients, variables)`: the gradients in the dtype of the step's arithmetic; dense, or a `RowGradient`.
`run_if(predicate, action, otherwise, state)`: runs one of two functions that read and assign the variables `state`, and returns
the list of tensors that it returns.
`assign(optimizer, variable, value)`: sets a model's variable, in its own dtype.
`decayed(value, decay, rate)`: weights after weight decay, θ − θ·λ·η, with the rounding of Keras on that backend.
`rounded(value, dtype)`: a float32 tensor with its numbers rounded to a half-precision dtype, still as float32.
`apart(values, read)`: the tensors `values`, which are about to be written to variables, none of which shares memory with another
one or with one of `read`, which were read from variables.
`update(frame, gradients, variables)`: weight decay and formula of variables with the same settings, by the fused kernel that
the frame's optimizer names where there is one, else by its `update_step`.
`update_list(frame, gradients, variables)`: the same of all variables together, by its `update_steps`.
`path_of(optimizer, variable)`: the `Path` on which `update` takes a variable with a dense gradient.
`may_group(optimizer, variable)`: whether a slot of the variable may become a part of a buffer when the optimizer is built.
`finish_build(optimizer)`: called at the end of its build: makes the slot variables that are still to be made.
`colocated(optimizer, variable)`: a context in which variables are made where the given one is.
`count(iterations)`: adds 1 to the number of steps.
`is_fast_at_bfloat16(tensor)`: whether the device of a tensor multiplies matrices of bfloat16 much faster than of float32.
`is_distributed(optimizer)`: whether a step runs on each replica of a `tf.distribute` strategy.
`Outlet()`: the way of an array from inside of a compiled step to Python: `put(number, array)` in the step, also in a branch of
`run_if`, and afterwards `take()`, which gives (int, NumPy array), or `None` if nothing was put since.
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
apart = _backend.apart
update = _backend.update
update_list = _backend.update_list
path_of = _backend.path_of
may_group = _backend.may_group
finish_build = _backend.finish_build
colocated = _backend.colocated
count = _backend.count
is_distributed = _backend.is_distributed
is_fast_at_bfloat16 = _backend.is_fast_at_bfloat16
Outlet = _backend.Outlet
