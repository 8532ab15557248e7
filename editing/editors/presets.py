"""Settings from the papers by name: `--set preset=chronoedit-lora`. What is set beside it wins over the preset.

Each names its source, and which of its figures are ours because the source does not give them. A layer number fits the
model that its name ends with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chronofacts.editing.options import nearest
from chronofacts.schemas.errors import BadInput

__all__ = ["PRESETS", "Preset", "with_preset"]

CHRONOEDIT = "Ge et al. 2024, arXiv 2406.04496; rank, alpha and rate are common ones for 7 B, not confirmed there"
ROME = "Meng et al. 2022, arXiv 2202.05262"
ALPHAEDIT = "Fang et al. 2025, arXiv 2410.02355, hparams/AlphaEdit of its code"
WISE = "Wang et al. 2024, arXiv 2405.14768, its code's hparams/WISE; decided token by token"
MEMIT = "Meng et al. 2023, arXiv 2210.07229"
ULTRAEDIT = "Gu et al. 2025, arXiv 2505.14679; its layers and matrices differ by model and data"
IKE = "Zheng et al. 2023, arXiv 2305.12740; likeness is that of letters, and the scored question has no `Prompt:`"
RAG = "Thede et al. 2025 (WikiBigEdit, arXiv 2503.05683): the two nearest facts, by sentence embedding"
MELLO = "Zhong et al. 2023, arXiv 2305.14795; its own retriever is Contriever"
WIKIBIGEDIT = "Thede et al. 2025 (WikiBigEdit, arXiv 2503.05683), configuration of its LoRA-merge"
FINETUNED = "Zhu et al. 2020, arXiv 2012.00363, as the baseline of Meng et al. 2022"


@dataclass(frozen=True)
class Preset:
    editor: str
    values: Mapping[str, str]
    source: str


def _lora(targets: str) -> Preset:
    values = {"targets": targets, "rank": "16", "alpha": "32", "learning_rate": "2e-4", "epochs": "20", "batch": "16"}
    return Preset("lora", values, CHRONOEDIT)


def _rome(layer: str) -> Preset:
    values = {
        "layer": layer, "site": "subject", "value_steps": "20", "value_rate": "0.5", "kl_factor": "0.0625",
        "decay": "0.5", "clamp": "4", "passes": "1", "facts_at_once": "1", "memory": "0",
        "kl_every": "1", "ridge": "1e-5",
    }  # fmt: skip
    return Preset("rome", values, ROME)


def _memit(layers: str, weight: str) -> Preset:
    values = {
        "layers": layers, "site": "subject", "wordings": "cloze", "value_steps": "25", "value_rate": "0.5",
        "kl_factor": "0.0625", "kl_every": "1", "decay": "0.5", "clamp": "0.75", "passes": "1",
        "covariance_weight": weight,
    }  # fmt: skip
    return Preset("memit", values, MEMIT)


def _alphaedit(layers: str, steps: str, rate: str) -> Preset:
    values = {
        "layers": layers, "site": "subject", "wordings": "cloze", "value_steps": steps, "value_rate": rate,
        "kl_factor": "0.0625", "kl_every": "1", "decay": "0.5", "clamp": "0.75", "passes": "1",
        "null_space": "threshold",
        "threshold": "0.02", "beta": "10",
    }  # fmt: skip
    return Preset("alphaedit", values, ALPHAEDIT)


def _wise(layer: str, passes: str, ratio: str) -> Preset:
    values = {
        "layer": layer, "optimizer": "sgd", "learning_rate": "1.0", "epochs": passes, "batch": "1", "mask": "0.2",
        "norm": "1.0", "alpha": "5", "beta": "20", "gamma": "10", "unit": "one", "ratio": ratio, "others": "1",
        "shard": "500", "merge": "ties", "density": "0.53", "wordings": "prompt",
    }  # fmt: skip
    return Preset("wise", values, WISE)


PRESETS = {
    "chronoedit-lora": _lora("mlp"),
    "chronoedit-lora-mlp": _lora("mlp"),
    "chronoedit-lora-attn": _lora("attention"),
    "chronoedit-lora-all": _lora("all"),
    "chronoedit-ptuning": Preset(
        "p-tuning", {"depth": "input", "vectors": "20", "encoder": "128", "learning_rate": "1e-3"}, CHRONOEDIT
    ),
    "chronoedit-freeze": Preset("freeze", {"targets": "mlp", "learning_rate": "1e-5"}, CHRONOEDIT),
    "chronoedit-finetune": Preset("finetune", {"targets": "whole", "learning_rate": "1e-5"}, CHRONOEDIT),
    "easyedit-lora": Preset(
        "lora",
        {"targets": "attention", "rank": "8", "alpha": "32", "learning_rate": "5e-3", "epochs": "70", "batch": "1"},
        "Wang et al. 2024 (EasyEdit, arXiv 2308.07269), hparams/LoRA/llama-7b.yaml, without its AdaLoRA and dropout",
    ),
    "easyedit-dpo": Preset(
        "lora",
        {"dpo": "0.01", "beta": "0.1"},
        "Wang et al. 2024 (EasyEdit, arXiv 2308.07269), the shares and β of its DPO; the rest is ours",
    ),
    "wikibigedit-lora-merge": Preset(
        "lora-merge",
        {"rank": "4", "alpha": "8", "learning_rate": "5e-3", "epochs": "10", "batch": "32", "merge": "0.25"},
        WIKIBIGEDIT,
    ),
    "locft": Preset(
        "freeze",
        {"targets": "mlp-out", "batch": "100", "epochs": "25", "learning_rate": "5e-4", "stop_loss": "0.01"},
        "LocFT-BF, arXiv 2509.22072; its layer was chosen by a sweep: 6 of Qwen2.5-7B, 22 of Llama-3-8B",
    ),
    "ft": Preset("finetune", {"targets": "mlp-out", "learning_rate": "5e-4", "wordings": "prompt"}, FINETUNED),
    "ft-l": Preset(
        "finetune",
        {
            "targets": "mlp-out", "layers": "0", "learning_rate": "5e-4", "constraint": "norm", "epsilon": "5e-4",
            "wordings": "prompt",
        },
        FINETUNED,
    ),
    "rome-gpt2-xl": _rome("17"),
    "rome-gpt-j": _rome("5"),
    "rome-llama-2-7b": _rome("5"),
    "ike": Preset(
        "ike", {"demonstrations": "32", "choice": "similar", "form": "cloze", "mark": "New Fact: ", "own": "true"}, IKE
    ),
    "rag-wikibigedit": Preset("rag", {"facts": "2", "alike": "-1"}, RAG),
    "mello": Preset("mello", {"hops": "4", "named": "false"}, MELLO),
    "ultraedit": Preset("ultraedit", {"step": "0.014", "turn": "100", "batch": "10", "passes": "1"}, ULTRAEDIT),
    "memit-gpt2-xl": _memit("13-17", "20000"),
    "memit-gpt-j": _memit("3-8", "15000"),
    "memit-llama-2-7b": _memit("4-8", "15000"),
    "wise-llama-2-7b": _wise("27", "70", "0.88"),
    "alphaedit-gpt2-xl": _alphaedit("13-17", "20", "0.5"),
    "alphaedit-gpt-j": _alphaedit("3-8", "25", "0.5"),
    "alphaedit-llama-3-8b": _alphaedit("4-8", "25", "0.1"),
}  # fmt: skip


def with_preset(editor: str, values: Mapping[str, str]) -> dict[str, str]:
    """The settings with those of `preset` below them. Raises BadInput for one that is unknown or another editor's."""
    name = values.get("preset")
    if name is None:
        return dict(values)
    if name not in PRESETS:
        raise BadInput(f"editor {editor}: there is no preset {name!r}{nearest(name, PRESETS)}")
    preset = PRESETS[name]
    if preset.editor != editor:
        own = [known for known, one in PRESETS.items() if one.editor == editor]
        use = f"write --set {preset.editor}.preset={name}"
        raise BadInput(
            f"the preset {name!r} is for {preset.editor}; {use}; {editor} has {', '.join(own) if own else 'none'}"
        )
    return {**preset.values, **values}
