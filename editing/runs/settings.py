"""The settings of an experiment, read from `--set` words of the run, the small world, scoring and editors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from chronofacts.editing.editors import EditorSettings, read_editor_settings
from chronofacts.editing.editors.saved_edit import SavedSettings, read_saved_editors
from chronofacts.editing.models.chat import Chat
from chronofacts.editing.models.distributed import join_processes
from chronofacts.editing.options import nearest, option_names, parse_options
from chronofacts.editing.registry import ALL, expand_names
from chronofacts.editing.runs.sweep import find_grid
from chronofacts.editing.scoring import ScoringSettings
from chronofacts.editing.small_world.pretrain import WorldSettings
from chronofacts.editing.snapshot import Snapshot, subset
from chronofacts.schemas.errors import BadInput

__all__ = ["ALL", "SMALL_WORLD", "ExperimentSettings", "RunSettings", "read_settings"]

SMALL_WORLD = "small-world"
"""Name of the model that is made from the snapshot's own sentences."""
SENTENCES_PER_FACT, FEWEST_SENTENCES = 25, 1500
"""Of a snapshot cut by `limit`."""
CONTEXTS_PER_SENTENCE = 0.7
"""Questions behind stated facts in the small world of a run that edits in context."""
READERS = ("in-context", "ike", "rag", "mello")
"""Editors that put facts before a question, which a small world must have learnt to read."""


@dataclass(frozen=True)
class RunSettings:
    limit: int | None = None
    """So many facts with their questions, a seeded choice with each relation's share; a greater number only adds to it.
    none: all facts."""
    limit_sentences: int | None = None
    """With `limit`: how many sentences around the facts stay (to pretrain a small world on, to count keys, for replay
    and perplexity); none: 25 for each fact, and at least 1,500."""
    seed: int = 0
    threads: int | None = None
    """Of torch on a CPU; none: what OMP_NUM_THREADS says, else one for a model of less than 5 million parameters, and
    for others as many as there are cores."""
    mode: Literal["all", "one-at-a-time", "chunks", "batches"] = "all"
    """`all`: one edit of all facts; `one-at-a-time`: each fact alone on the unedited model, with questions about it
    alone; `chunks`: `chunk` facts at a time, each chunk on the model that the chunks before it left; `batches`: so many
    cases at a time as `batches` says, each batch on the unedited model."""
    chunk: int | None = None
    """Facts of a chunk; given alone it means `mode=chunks`."""
    curve_points: int = 10
    """In chunks: after so many of them (all, or those that divide the edits by equal ratios) a seeded sample of all
    questions and texts is asked again, less than two full evaluations in all, and tasks of lm-evaluation-harness
    (scoring.lm_eval) are run; 0: never."""
    batches: tuple[str, ...] = ()
    """Cases of a batch, as MQuAKE counts them, or several sizes that are measured one after the other: `1,100,all`. A
    case is a question over several facts with its edits. Given alone it means `mode=batches`."""
    alone_edits: int | None = None
    """One at a time: so many of the facts, a seeded choice; none: all."""
    only: Literal["known", "stale", "other", "silent"] | None = None
    """Only the edits to which the unedited model, which is asked first, gives the new answer (known), the old one
    (stale), another one or none (silent); none: all."""
    across: str | None = None
    """Folder of a snapshot of the same dates in another language: its questions about the same edits are asked too, and
    nothing of it is taught. A small world of such a run knows both languages."""
    sweep: str | None = None
    """A grid of settings of the first editor that trains, `rank=4,8 layers=all,1`; it then edits with the best."""
    dtype: str = "float32"
    """Of the model's weights: float32, bfloat16, float16, or auto, as they were saved."""
    device: str = "auto"
    """auto: a GPU where there is one, else the CPU."""
    device_map: str | None = None
    """`auto` spreads a model that is too large for one GPU over all of them."""
    revision: str | None = None
    """Of a Hub model: branch, tag or commit."""
    chat: Chat = "auto"
    """Ask and teach through the model's chat template; auto: where it has one."""
    cache: str | None = "auto"
    """Folder that keeps the unedited model's answers for other editors and runs; auto: the user's own; none."""

    def __post_init__(self) -> None:
        """`chunk` alone means chunks, `batches` alone batches; raises BadInput for what contradicts the mode."""
        if self.chunk is not None and self.mode == "all":
            object.__setattr__(self, "mode", "chunks")
        if self.batches and self.mode == "all":
            object.__setattr__(self, "mode", "batches")
        if self.threads is not None and self.threads < 1:
            raise BadInput(f"threads = {self.threads}; it must be at least 1")
        if (self.mode == "batches") != bool(self.batches):
            raise BadInput("mode = batches and batches=SIZE,… go together; write --set batches=1,100,all")
        if self.mode == "batches" and self.chunk is not None:
            raise BadInput("mode = batches has no chunks; leave out chunk, or take mode=chunks")
        for size in self.batches:
            if size != ALL and not (size.isascii() and size.isdigit() and int(size) > 0):
                raise BadInput(f"batches = {size}; a batch has at least 1 case, or all of them: batches=1,100,all")
        if self.mode == "chunks" and self.chunk is None:
            raise BadInput("mode = chunks needs their size; write --set chunk=10")
        if self.mode == "one-at-a-time" and self.chunk is not None:
            raise BadInput("mode = one-at-a-time has no chunks; leave out chunk, or take mode=chunks")
        if self.alone_edits is not None and self.mode != "one-at-a-time":
            raise BadInput("alone_edits is for --set mode=one-at-a-time; --limit takes a part of the facts else")
        if self.limit_sentences is not None and self.limit is None:
            raise BadInput("limit_sentences goes with limit; write --limit 60")
        if self.curve_points < 0:
            raise BadInput(f"curve_points = {self.curve_points}; it cannot be below 0")
        for name in ("chunk", "alone_edits", "limit", "limit_sentences"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise BadInput(f"{name} = {given}; it must be at least 1")

    def cut(self, snapshot: Snapshot) -> Snapshot:
        """As many facts as `limit` allows, with their questions and sentences.

        Raises BadInput where the snapshot has no question about these facts alone.
        """
        if self.limit is None:
            return snapshot
        most = self.limit_sentences
        sentences = max(FEWEST_SENTENCES, SENTENCES_PER_FACT * self.limit) if most is None else most
        part = subset(snapshot, self.limit, sentences, self.seed)
        if not part.questions.num_rows:
            raise BadInput(f"limit = {self.limit}: no question is about these facts alone; take more")
        return part


@dataclass(frozen=True)
class ExperimentSettings:
    run: RunSettings
    world: WorldSettings
    scoring: ScoringSettings
    editors: tuple[EditorSettings, ...]
    given: Mapping[str, str] = field(default_factory=dict)
    """The `--set` words as the user wrote them."""
    may_refuse: frozenset[str] = frozenset()
    """Editors that `all` named: one that cannot edit this model is told, and the others go on."""
    left_out: Mapping[str, Any] = field(default_factory=dict)
    """Which questions the mode leaves out, and how many."""


def read_settings(editors: Sequence[str], values: Mapping[str, str], load: Sequence[Path] = ()) -> ExperimentSettings:
    """The settings that `--set` words give.

    A key may name its owner (`world.steps`, `scoring.margin`, `lora.rank`, `lora+replay.epochs`) or stand alone; alone
    it goes to the run, or to every editor that has it. load: folders of saved edits. Raises BadInput for an unknown
    editor, owner or option, and for a folder that holds no saved edit.
    """
    if not editors and not load:
        raise BadInput("no editor was named; take none, lora or lora+replay")
    names = expand_names(editors)
    run = parse_options(RunSettings, {k: v for k, v in values.items() if k in option_names(RunSettings)}, "the run")
    blank = {name: read_editor_settings(name, {}, run.seed) for name in names}
    owned: dict[str, dict[str, str]] = {"world": {}, "scoring": {}, **{name: {} for name in names}}
    for key, text in values.items():
        for owner, option in _owners(key, blank):
            owned[owner][option] = text
    settings = ExperimentSettings(
        run=run,
        world=_world_settings({"seed": str(run.seed), **owned["world"]}, names),
        scoring=parse_options(ScoringSettings, owned["scoring"], "scoring"),
        editors=(
            *(read_editor_settings(name, owned[name], run.seed) for name in names),
            *read_saved_editors(load, names),
        ),
        given=dict(values),
        may_refuse=frozenset(names) - set(editors) if ALL in editors else frozenset(),
    )
    _check_mode(settings)
    return settings


def _check_mode(settings: ExperimentSettings) -> None:
    """Raises BadInput for an editor that cannot be swept, and for options that contradict each other."""
    if settings.run.sweep is not None:
        find_grid(settings.editors, settings.run.sweep)
    if settings.run.device_map and (settings.scoring.processes > 1 or join_processes().size > 1):
        raise BadInput("device_map spreads one model over all GPUs; leave it out where several processes have one each")
    if settings.run.mode in ("one-at-a-time", "batches"):
        saved = any(isinstance(editor.settings, SavedSettings) for editor in settings.editors)
        for option, given in (
            ("--load", saved),
            ("sweep", settings.run.sweep),
            ("scoring.processes", settings.scoring.processes > 1),
            ("scoring.dates", settings.scoring.dates > 0),
            ("across", settings.run.across is not None),
        ):
            if given:
                raise BadInput(
                    f"mode = {settings.run.mode} makes many model states; leave out {option}, or take mode=all"
                )


def _owners(key: str, editors: Mapping[str, EditorSettings]) -> list[tuple[str, str]]:
    """The (owner, option) pairs of a key; none for the run's own. Raises BadInput for a key that nobody has."""
    if key in option_names(RunSettings):
        return []
    owner, dot, option = key.rpartition(".")
    if dot:
        stems = {name.partition("+")[0] for name in editors}
        if owner not in {"world", "scoring", *editors, *stems}:
            raise BadInput(
                f"--set {key}: nothing here is called {owner!r}{nearest(owner, ['world', 'scoring', *editors])}"
            )
        named = [name for name in editors if owner in (name, name.partition("+")[0])]
        return [(name, option) for name in named] or [(owner, option)]
    having = [(name, key) for name, editor in editors.items() if key in option_names(type(editor.settings))]
    if not having:
        known = {
            *option_names(RunSettings),
            *(o for editor in editors.values() for o in option_names(type(editor.settings))),
        }
        raise BadInput(f"--set {key}: there is no such option{nearest(key, known)}")
    return having


def _world_settings(values: Mapping[str, str], editors: Sequence[str]) -> WorldSettings:
    """A world that is to be edited in context must have learnt to read one."""
    world = parse_options(WorldSettings, values, "the small world")
    reads = any(name.partition("+")[0] in READERS for name in editors)
    return replace(world, contexts=CONTEXTS_PER_SENTENCE if reads else 0.0) if world.contexts is None else world
