"""The type of options that name the weights of a model."""


class Weights(str):
    """A folder of weights on this machine, or the name of a model on the hub; empty stands for the usual one."""

    __slots__ = ()


NO_WEIGHTS = Weights("")
