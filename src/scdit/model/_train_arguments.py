"""Arguments of ``train``, checked before any work: per phase, and what goes to Lightning."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from scvi.train import Trainer

from scdit._checks import check_bool, check_int, check_number, did_you_mean, shown
from scdit.train import STRATEGY

_PRECISIONS = (None, 32, "32", "32-true", "bf16-mixed", "16-mixed", "bf16", 16, "16")
_STRATEGIES = ("auto", "single_device", STRATEGY)
_PLAN = {"lr": {"open_low": True}, "weight_decay": {}}  # arguments of both plans, all from 0 up
# arguments of scvi's trainer that scdit's phases set themselves
_OWN = ("early_stopping", "max_epochs", "accelerator", "devices", "simple_progress_bar")


def per_phase(name: str, given: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """One value for all phases, or a mapping from phases to values, over the defaults.

    Raises
    ------
    ValueError
        If a phase is unknown, or a value is not of the kind of the default: an integer above 0, or a
        truth value.
    """
    if given is None:
        return dict(defaults)
    values = (
        {**defaults, **given} if isinstance(given, Mapping) else dict.fromkeys(defaults, given)
    )
    unknown = set(values) - set(defaults)
    if unknown:
        raise ValueError(f"{name} names {sorted(unknown)}; the phases are {', '.join(defaults)}")
    for phase, value in values.items():
        if type(defaults[phase]) is int:
            values[phase] = check_int(f"{name} of the {phase}", value)
        elif type(defaults[phase]) is bool:
            values[phase] = check_bool(f"{name} of the {phase}", value)
    return values


def check_plans(given: Any, phases: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Optimiser settings of each phase.

    Raises
    ------
    ValueError
        If a phase or a setting is unknown, or a number is out of range.
    """
    example = 'plan_kwargs={"denoiser": {"lr": 1e-3}}'
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"plan_kwargs must be a mapping by phase, {example}; got {shown(given)}")
    plans = {}
    for phase, settings in per_phase("plan_kwargs", given, {name: {} for name in phases}).items():
        if not isinstance(settings, Mapping):
            raise ValueError(
                f"plan_kwargs of the {phase} must be a mapping, {example}; got {shown(settings)}"
            )
        for name in settings:
            if name not in _PLAN:
                raise ValueError(
                    f"plan_kwargs of the {phase} has {name!r}; known: {', '.join(_PLAN)}"
                    + did_you_mean(name, _PLAN)
                )
        plans[phase] = {"lr": phases[phase].lr} | {
            name: check_number(f"{name} of the {phase}", value, 0, **_PLAN[name])
            for name, value in settings.items()
        }
    return plans


def check_devices(devices: Any, options: Mapping[str, Any]) -> None:
    """Raise unless devices are a number, indices or ``"auto"``, and a strategy keeps the model whole.

    Raises
    ------
    ValueError
        If they are of another kind.
    """
    whole = isinstance(devices, int) and not isinstance(devices, bool) and devices != 0
    if not (whole or devices == "auto" or (isinstance(devices, list) and devices)):
        raise ValueError(
            "devices must be a number of devices, -1 for all, a list of indices or 'auto', got "
            f"{shown(devices)}"
        )
    strategy = options.get("strategy", "auto")
    if strategy not in _STRATEGIES:
        raise ValueError(
            f"strategy must be one of {', '.join(_STRATEGIES)}, got {shown(strategy)}: each process has "
            "the whole model, and trains a part of its weights in each phase"
        )
    check_int("num_nodes", options.get("num_nodes", 1))


def processes(devices: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Devices and strategy for Lightning; one device where the user left it open."""
    devices = 1 if devices == "auto" else devices
    one = devices == 1 or (isinstance(devices, list) and len(devices) == 1)
    strategy = options.get("strategy", "auto")
    if strategy == "auto" and not (one and options.get("num_nodes", 1) == 1):
        strategy = STRATEGY
    return {"devices": devices, "strategy": strategy}


def check_trainer(accelerator: Any, devices: Any, options: Mapping[str, Any]) -> None:
    """Raise if Lightning cannot, or scdit must not, be called with these arguments.

    Raises
    ------
    ValueError
        If devices or a strategy are not such, weights would change their type, nothing would be
        trained, or an argument is unknown.
    """
    if not isinstance(accelerator, str):
        raise ValueError(f"accelerator must be a name, such as 'auto', got {shown(accelerator)}")
    check_devices(devices, options)
    precision = options.get("precision")
    if precision not in _PRECISIONS:
        raise ValueError(
            f"precision must be '32-true', 'bf16-mixed' or '16-mixed', got {shown(precision)}: others "
            "change the type of the weights"
        )
    for name in ("limit_train_batches", "max_steps"):
        if options.get(name) == 0:
            raise ValueError(f"{name} must not be 0: nothing would be trained")
    if options.get("gradient_clip_val") is not None:
        check_number("gradient_clip_val", options["gradient_clip_val"], 0)
    known = {
        name
        for trainer in (pl.Trainer, Trainer)
        for name in inspect.signature(trainer.__init__).parameters
        if name not in ("self", "args", "kwargs") and not name.startswith("early_stopping")
    } - set(_OWN)
    for name in options:
        if name in _PLAN:
            raise ValueError(
                f"train has no argument {name!r}: give it per phase, "
                f'plan_kwargs={{"denoiser": {{"{name}": ...}}}}'
            )
        if name not in known:
            raise ValueError(f"train has no argument {name!r}" + did_you_mean(name, known))
