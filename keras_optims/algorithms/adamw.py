"""AdamW: Adam with a weight decay that does what it says.

Decay written as an L2 penalty of the loss goes through Adam's division: weights with large gradients are hardly decayed at all.
AdamW shrinks the weights directly, beside Adam's step, so all of them decay at one rate.
"""

import keras

from keras_optims.algorithms.adam import Adam
from keras_optims.hyperparameter import NON_NEGATIVE, Hyperparameter, SearchRange


@keras.saving.register_keras_serializable(package="keras_optims")
class AdamW(Adam):
    """Adam with decoupled weight decay.

    Before each step of `Adam`, with weights θ, learning rate η and weight decay λ,

        θ ← θ − η·λ·θ

    Args:
        learning_rate: η ≥ 0, as in `Adam`; default 0.001.
        weight_decay: λ ≥ 0; a weight without gradients shrinks by the share η·λ a step. Usually 1e-3 to 0.1;
            default 0.004; `None`: none, as in a rule for the biases.
        beta_1: β₁, beta_2: β₂, epsilon: ε, amsgrad: as in `Adam`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`. `exclude_from_weight_decay(var_names=["bias"])`
            leaves variables out.

    Conventions: the decay is multiplied by η, schedule and all, as in Keras, torch and optax; in the paper (Algorithm 2) it is
    multiplied by the schedule only.

    Reference: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", https://arxiv.org/abs/1711.05101, Algorithm 2.
    """

    weight_decay = Hyperparameter(
        0.004, symbol="λ", domain=NON_NEGATIVE, search=SearchRange(1e-5, 1e-1, "log"), meaning="decoupled weight decay", off=None
    )
