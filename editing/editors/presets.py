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
MEMIT = "Meng et al. 2023, arXiv 2210.07229"
ULTRAEDIT = "Gu et al. 2025, arXiv 2505.14679; its layers and matrices differ by model and data"
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
        "decay": "0.5", "clamp": "4", "passes": "1", "facts_at_once": "1",
    }  # fmt: skip
    return Preset("rome", values, ROME)


def _memit(layers: str, weight: str) -> Preset:
    values = {
        "layers": layers, "site": "subject", "wordings": "cloze", "value_steps": "25", "value_rate": "0.5",
        "kl_factor": "0.0625", "decay": "0.5", "clamp": "0.75", "covariance_weight": weight,
    }  # fmt: skip
    return Preset("memit", values, MEMIT)


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
    "ultraedit": Preset("ultraedit", {"step": "0.014", "turn": "100", "batch": "10", "passes": "1"}, ULTRAEDIT),
    "memit-gpt2-xl": _memit("13-17", "20000"),
    "memit-gpt-j": _memit("3-8", "15000"),
    "memit-llama-2-7b": _memit("4-8", "15000"),
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
