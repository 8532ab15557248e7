"""What the shell offers for the value of an option, after `chronofacts --install-completion`.

Nothing slow is imported: names of editors and settings are read from the source, those of relations from the catalogue.
Leaves out paths, which a shell completes by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = [
    "complete_dump_runner", "complete_editors", "complete_export", "complete_import", "complete_language",
    "complete_model", "complete_owner", "complete_relations", "complete_setting", "complete_since", "complete_source",
    "complete_trace_setting",
]  # fmt: skip

JUDGE = "judge"
"""The format of answers to be judged, and of verdicts, which are no snapshot's."""


def complete_editors(incomplete: str) -> list[str]:
    """Editors, joined by commas."""
    from chronofacts.editing.registry import ALL
    from chronofacts.flows.setting_keys import editor_names

    return _last_of_list(incomplete, [*editor_names(), ALL])


def complete_relations(incomplete: str) -> list[str]:
    """Ids and properties of relations, joined by commas."""
    from chronofacts.schemas.catalogue import load_catalogue

    relations = load_catalogue().relations
    named = [relation.id for relation in relations]
    return _last_of_list(incomplete, [*named, *dict.fromkeys(relation.property for relation in relations)])


def complete_source(incomplete: str) -> list[str]:
    from chronofacts.flows.commands.checks import SOURCES

    return _keep_beginning_with(incomplete, [*SOURCES, "raw:", "https://"])


def complete_since(incomplete: str) -> list[str]:
    """`model:NAME`, for the models whose cutoff is stated; a day completes nothing."""
    from chronofacts.schemas.cutoffs import models_with_cutoff

    return _keep_beginning_with(incomplete, [f"model:{name}" for name in models_with_cutoff()])


def complete_language(incomplete: str) -> list[str]:
    from chronofacts.schemas.catalogue import load_catalogue

    return _keep_beginning_with(incomplete, [language.code for language in load_catalogue().languages])


def complete_model(incomplete: str) -> list[str]:
    from chronofacts.schemas.models import named_models

    return _keep_beginning_with(incomplete, ["small-world", *named_models()])


def complete_export(incomplete: str) -> list[str]:
    from chronofacts.pipeline.exchange import EXPORTS

    return _keep_beginning_with(incomplete, [*EXPORTS, JUDGE])


def complete_import(incomplete: str) -> list[str]:
    from chronofacts.pipeline.exchange import IMPORTS

    return _keep_beginning_with(incomplete, [*IMPORTS, JUDGE])


def complete_dump_runner(incomplete: str) -> list[str]:
    return _keep_beginning_with(incomplete, ("threads", "processes", "dask", "dask:"))


def complete_owner(incomplete: str) -> list[str]:
    """What `settings` lists."""
    from chronofacts.editing.registry import all_editors
    from chronofacts.flows.setting_keys import OWNERS

    return _keep_beginning_with(incomplete, [*OWNERS, *all_editors()])


def complete_setting(incomplete: str) -> list[str]:
    """A key of `--set` with its sign of equality; behind that, the values of a key that has few.

    Another package's editor is loaded only when its name stands there.
    """
    from chronofacts.editing.registry import foreign_editors
    from chronofacts.flows.setting_keys import EDITORS, OWNERS

    named = [name for name in foreign_editors() if incomplete.startswith(f"{name}.")]
    return _complete_key(incomplete, [owner for owner in (*OWNERS, *EDITORS, *named) if owner != "trace"])


def complete_trace_setting(incomplete: str) -> list[str]:
    """As `complete_setting`, of the keys that `trace` takes."""
    from chronofacts.editing.tracing import RUN_OPTIONS

    return _complete_key(incomplete, ["trace", "run"], RUN_OPTIONS)


def _complete_key(incomplete: str, owners: Iterable[str], of_run: Collection[str] | None = None) -> list[str]:
    """of_run: those of the run's keys that are taken; None: all."""
    from chronofacts.flows.setting_keys import choices_of, key_of, settings_of

    key, sign, _ = incomplete.partition("=")
    found = {
        key_of(owner, one): one
        for owner in owners
        for one in settings_of(owner)
        if of_run is None or owner != "run" or one.name in of_run
    }
    if sign:
        values = choices_of(found[key]) if key in found else ()
        return _keep_beginning_with(incomplete, [f"{key}={value}" for value in values])
    return _keep_beginning_with(incomplete, [f"{name}=" for name in found])


def _last_of_list(incomplete: str, names: Iterable[str]) -> list[str]:
    """The list so far with each name that its last word begins and that is not yet in it."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last) and name not in given]


def _keep_beginning_with(incomplete: str, values: Iterable[str]) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]
