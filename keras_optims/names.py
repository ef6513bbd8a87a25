"""What a misspelled argument was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

ALIASES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("lr", "eta", "step_size", "alpha"), ("learning_rate",)),
    **dict.fromkeys(("wd", "weight_decay_rate"), ("weight_decay",)),
    "eps": ("epsilon",),
    "betas": ("beta_1", "beta_2"),
    **dict.fromkeys(("b1", "beta1"), ("beta_1",)),
    **dict.fromkeys(("b2", "beta2"), ("beta_2",)),
    **dict.fromkeys(("max_norm", "max_grad_norm", "clip_grad_norm"), ("global_clipnorm",)),
    **dict.fromkeys(("ema", "ema_decay"), ("use_ema", "ema_momentum")),
    "sync_period": ("k", "lookahead"),
    "slow_step_size": ("alpha", "lookahead_alpha"),
    "loss_scale": ("loss_scale_factor",),
    "accumulation_steps": ("gradient_accumulation_steps",),
}
"""What other libraries call a hyperparameter, where spelling alone does not tell."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """The end of an error about an unknown name: what it is called here, or the closest of those allowed, if one is close."""
    meant = meant_by(name, allowed)
    return f" Did you mean {' and '.join(meant)}?" if meant else ""


def meant_by(name: str, allowed: Iterable[str]) -> list[str]:
    """Those of the allowed names that a name stands for elsewhere, or the closest of them; empty if none is close."""
    allowed = list(allowed)
    if name == "alpha" and "rho" in allowed:  # of torch's RMSprop; of others the learning rate
        return ["rho"]
    called_here = [each for each in ALIASES.get(name, ()) if each in allowed]
    return called_here or difflib.get_close_matches(name, allowed, n=1)
