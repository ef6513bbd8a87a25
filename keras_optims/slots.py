"""Slots: what an optimizer remembers for each variable of the model, such as its velocity."""

from __future__ import annotations

from keras_optims.working_copy import WorkingCopy


def path_of(variable) -> str:
    """The path of a model's variable; a `tf.Variable` has a name only."""
    return getattr(variable, "path", None) or variable.name


class Slot:
    """The slot variables of one kind, looked up by the model's variable: `velocity[variable]`.

    Where small variables are grouped (see `keras_optims.kernels`), theirs are parts of one buffer; a part reads and assigns like
    a variable of its own.

    Args:
        key: the function that gives each variable of a model its hashable identity.
    """

    def __init__(self, key):
        self._key = key
        self._of: dict = {}
        self._of_groups: dict = {}

    def __getitem__(self, variable):
        if isinstance(variable, WorkingCopy):
            return variable.slot(self)
        key = self._key(variable)
        return self._of_groups[key] if key in self._of_groups else self._of[key]

    def __setitem__(self, variable, slot_variable):
        self._of[self._key(variable)] = slot_variable

    def set_of_group(self, weights, buffer):
        """Sets the buffer of a group, to be looked up by the buffer that holds its members' weights in a step."""
        self._of_groups[self._key(weights)] = buffer

    def of(self, variables) -> list:
        """The slot variables of a list of the model's variables."""
        return [self._of[self._key(variable)] for variable in variables]

    @property
    def variables(self) -> list:
        """That of each of the model's variables, in their order; parts of a buffer where they are grouped."""
        return list(self._of.values())
