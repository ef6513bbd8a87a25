"""What an optimizer is checked with: its formulas in float64, a step that is compiled as in training, and a public contract."""

from keras_optims.testing.contract import (
    CHECKS,
    Check,
    ContractError,
    ContractReport,
    NotApplicable,
    Result,
    check_optimizer,
    parametrize_with_checks,
)

__all__ = [
    "CHECKS",
    "Check",
    "ContractError",
    "ContractReport",
    "NotApplicable",
    "Result",
    "check_optimizer",
    "parametrize_with_checks",
]
