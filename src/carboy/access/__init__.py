"""Who asks, and which rows and fields they may touch. It knows no HTTP and no database."""

from .access import UNLIMITED, Access, Policies, check_policy, form
from .actor import ANONYMOUS, NOBODY, Actor
from .condition import Condition, Form
from .policy import (
    ACTIONS,
    CLOSED,
    OPEN,
    PUBLIC,
    Action,
    FieldRule,
    Policy,
    PolicyError,
    Rule,
    role,
    signed_in,
    writer,
)

__all__ = [
    "ACTIONS",
    "ANONYMOUS",
    "CLOSED",
    "NOBODY",
    "OPEN",
    "PUBLIC",
    "UNLIMITED",
    "Access",
    "Action",
    "Actor",
    "Condition",
    "FieldRule",
    "Form",
    "Policies",
    "Policy",
    "PolicyError",
    "Rule",
    "check_policy",
    "form",
    "role",
    "signed_in",
    "writer",
]
