"""`--set` words sorted to whom they belong: the run, the small world, scoring or an editor; contradictions are refused.

Leaves out what each option means, which its dataclass says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chronofacts.editing.editors import Plan, make_plan
from chronofacts.editing.editors.saved_edit import SavedOptions, saved_plans
from chronofacts.editing.models.distributed import join_processes
from chronofacts.editing.options import nearest, option_names, parse_options
from chronofacts.editing.runs.results import ExperimentSettings, RunSettings
from chronofacts.editing.runs.sweep import planned_grid
from chronofacts.editing.scoring import ScoringSettings
from chronofacts.editing.small_world.pretrain import WorldSettings
from chronofacts.schemas.errors import BadInput

__all__ = ["read_settings"]

CONTEXTS_PER_SENTENCE = 0.4
"""Questions behind told facts in the small world of a run that edits in context."""


def read_settings(editors: Sequence[str], values: Mapping[str, str], load: Sequence[Path] = ()) -> ExperimentSettings:
    """`--set` words sorted to whom they belong.

    A key may name its owner (`world.steps`, `scoring.margin`, `lora.rank`, `lora+replay.epochs`) or stand alone; alone
    it goes to the run, or to every editor that has it. load: folders of saved edits. Raises BadInput for an unknown
    editor, owner or option, and for a folder that holds no saved edit.
    """
    if not editors and not load:
        raise BadInput("no editor was named; take none, lora or lora+replay")
    names = list(dict.fromkeys([*editors]))
    run = parse_options(RunSettings, {k: v for k, v in values.items() if k in option_names(RunSettings)}, "the run")
    blank = {name: make_plan(name, {}, run.seed) for name in names}
    owned: dict[str, dict[str, str]] = {"world": {}, "scoring": {}, **{name: {} for name in names}}
    for key, text in values.items():
        for owner, option in _owners(key, blank):
            owned[owner][option] = text
    settings = ExperimentSettings(
        run=run,
        world=_world_settings({"seed": str(run.seed), **owned["world"]}, names),
        scoring=parse_options(ScoringSettings, owned["scoring"], "scoring"),
        plans=(*(make_plan(name, owned[name], run.seed) for name in names), *saved_plans(load, names)),
        given=dict(values),
    )
    _check_mode(settings)
    return settings


def _check_mode(settings: ExperimentSettings) -> None:
    """Refuses before any work is done what cannot be swept, and what does not go with one at a time or a device map."""
    if settings.run.sweep is not None:
        planned_grid(settings)
    if settings.run.device_map and (settings.scoring.processes > 1 or join_processes().size > 1):
        raise BadInput("device_map spreads one model over all GPUs; leave it out where several processes have one each")
    if settings.run.mode == "one-at-a-time":
        saved = any(isinstance(plan.config, SavedOptions) for plan in settings.plans)
        for option, given in (
            ("--load", saved),
            ("sweep", settings.run.sweep),
            ("scoring.processes", settings.scoring.processes > 1),
        ):
            if given:
                raise BadInput(f"mode = one-at-a-time makes many model states; leave out {option}, or take mode=all")


def _owners(key: str, plans: Mapping[str, Plan]) -> list[tuple[str, str]]:
    """To whom an option belongs: (owner, option) pairs; the run's own are read before. Raises BadInput."""
    if key in option_names(RunSettings):
        return []
    owner, dot, option = key.rpartition(".")
    if dot:
        stems = {name.partition("+")[0] for name in plans}
        if owner not in {"world", "scoring", *plans, *stems}:
            raise BadInput(
                f"--set {key}: nothing here is called {owner!r}{nearest(owner, ['world', 'scoring', *plans])}"
            )
        named = [name for name in plans if owner in (name, name.partition("+")[0])]
        return [(name, option) for name in named] or [(owner, option)]
    having = [(name, key) for name, plan in plans.items() if key in option_names(type(plan.config))]
    if not having:
        known = {*option_names(RunSettings), *(o for plan in plans.values() for o in option_names(type(plan.config)))}
        raise BadInput(f"--set {key}: there is no such option{nearest(key, known)}")
    return having


def _world_settings(values: Mapping[str, str], editors: Sequence[str]) -> WorldSettings:
    """A world that is to be edited in context must have learnt to read one."""
    world = parse_options(WorldSettings, values, "the small world")
    reads = any(name.partition("+")[0] == "in-context" for name in editors)
    return replace(world, contexts=CONTEXTS_PER_SENTENCE if reads else 0.0) if world.contexts is None else world
