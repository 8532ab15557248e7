"""Dated facts from Wikidata as snapshots, and language models brought up to date with them.

    import chronofacts as cf

    model, tokenizer = cf.load_model("smollm2")
    facts = [cf.Edit("Who is the chief executive of Acme?", "Jane Roe", subject="Acme")]
    with cf.edit(model, tokenizer, facts, cf.Lora(rank=8)) as edited:
        print(edited.generate("Who is the chief executive of Acme?"))

The names below are loaded when they are first used: `import chronofacts` alone loads neither torch nor Prefect.
The folders `pipeline`, `editing`, `flows`, `schemas` and `data` beside this one are parts of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chronofacts.editing.edited import Edited, load, prompt_text
    from chronofacts.editing.editors.located.alphaedit import AlphaEditSettings as AlphaEdit
    from chronofacts.editing.editors.located.grace import GraceSettings as Grace
    from chronofacts.editing.editors.located.memit import MemitSettings as Memit
    from chronofacts.editing.editors.located.rome import RomeSettings as Rome
    from chronofacts.editing.editors.located.ultraedit import UltraEditSettings as UltraEdit
    from chronofacts.editing.editors.located.wise import WiseSettings as Wise
    from chronofacts.editing.editors.prompted.ike import IkeSettings as Ike
    from chronofacts.editing.editors.prompted.in_context import InContextSettings as InContext
    from chronofacts.editing.editors.prompted.mello import MelloSettings as Mello
    from chronofacts.editing.editors.prompted.memory import MemorySettings as Memory
    from chronofacts.editing.editors.prompted.rag import RagSettings as Rag
    from chronofacts.editing.editors.trained.finetune import FinetuneSettings as Finetune
    from chronofacts.editing.editors.trained.freeze import FreezeSettings as Freeze
    from chronofacts.editing.editors.trained.lora import LoraSettings as Lora
    from chronofacts.editing.editors.trained.lora_merge import LoraMergeSettings as LoraMerge
    from chronofacts.editing.editors.trained.prompt_tuning import PromptTuningSettings as PromptTuning
    from chronofacts.editing.evaluation import Evaluation, Run, open_run
    from chronofacts.editing.models.load import load_model
    from chronofacts.editing.scoring.settings import ScoringSettings as Scoring
    from chronofacts.editing.small_world.pretrain import WorldSettings as World
    from chronofacts.interface import Edit, Snapshot, edit, evaluate, experiment, refresh
    from chronofacts.pipeline.exchange.own_facts import read_facts
    from chronofacts.pipeline.snapshots.verify import verify
    from chronofacts.pipeline.snapshots.write import read_table
    from chronofacts.schemas.catalogue import load_catalogue
    from chronofacts.schemas.errors import ChronoFactsError
    from chronofacts.schemas.manifest import read_manifest

    __version__: str

__all__ = [
    "AlphaEdit",
    "ChronoFactsError",
    "Edit",
    "Edited",
    "Evaluation",
    "Finetune",
    "Freeze",
    "Grace",
    "Ike",
    "InContext",
    "Lora",
    "LoraMerge",
    "Mello",
    "Memit",
    "Memory",
    "PromptTuning",
    "Rag",
    "Rome",
    "Run",
    "Scoring",
    "Snapshot",
    "UltraEdit",
    "Wise",
    "World",
    "__version__",
    "edit",
    "evaluate",
    "experiment",
    "load",
    "load_catalogue",
    "load_model",
    "open_run",
    "prompt_text",
    "read_facts",
    "read_manifest",
    "read_table",
    "refresh",
    "verify",
]

_HOMES = {
    "AlphaEdit": "editing.editors.located.alphaedit:AlphaEditSettings",
    "ChronoFactsError": "schemas.errors",
    "Edit": "interface",
    "Edited": "editing.edited",
    "Evaluation": "editing.evaluation",
    "Finetune": "editing.editors.trained.finetune:FinetuneSettings",
    "Freeze": "editing.editors.trained.freeze:FreezeSettings",
    "Grace": "editing.editors.located.grace:GraceSettings",
    "Ike": "editing.editors.prompted.ike:IkeSettings",
    "InContext": "editing.editors.prompted.in_context:InContextSettings",
    "Lora": "editing.editors.trained.lora:LoraSettings",
    "Mello": "editing.editors.prompted.mello:MelloSettings",
    "LoraMerge": "editing.editors.trained.lora_merge:LoraMergeSettings",
    "Memit": "editing.editors.located.memit:MemitSettings",
    "Memory": "editing.editors.prompted.memory:MemorySettings",
    "PromptTuning": "editing.editors.trained.prompt_tuning:PromptTuningSettings",
    "Rag": "editing.editors.prompted.rag:RagSettings",
    "Rome": "editing.editors.located.rome:RomeSettings",
    "Run": "editing.evaluation",
    "Scoring": "editing.scoring.settings:ScoringSettings",
    "Snapshot": "interface",
    "UltraEdit": "editing.editors.located.ultraedit:UltraEditSettings",
    "Wise": "editing.editors.located.wise:WiseSettings",
    "World": "editing.small_world.pretrain:WorldSettings",
    "edit": "interface",
    "evaluate": "interface",
    "experiment": "interface",
    "load": "editing.edited",
    "load_catalogue": "schemas.catalogue",
    "load_model": "editing.models.load",
    "open_run": "editing.evaluation",
    "prompt_text": "editing.edited",
    "read_facts": "pipeline.exchange.own_facts",
    "read_manifest": "schemas.manifest",
    "read_table": "pipeline.snapshots.write",
    "refresh": "interface",
    "verify": "pipeline.snapshots.verify",
}
"""Name -> module, and the name there where it is another."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("chronofacts")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, own = _HOMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), own or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
