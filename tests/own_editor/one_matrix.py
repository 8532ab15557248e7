"""`one-matrix`: the facts' own questions trained into the output matrix of one layer."""

from dataclasses import dataclass

from chronofacts.editing.editors import undo_on_error
from chronofacts.editing.editors.trained.examples import encode_examples, make_examples
from chronofacts.editing.editors.trained.gradient import change_weights
from chronofacts.editing.models.architecture import output_matrices
from chronofacts.editing.models.gradients import only_trained
from chronofacts.editing.training import TrainingSettings, train


@dataclass(frozen=True)
class OneMatrixSettings:
    layer: int = 0
    """Of the matrix that is trained."""
    steps: int = 100
    learning_rate: float = 1e-2


class OneMatrix:
    """The facts' own questions trained into the output matrix of one layer."""

    Settings = OneMatrixSettings
    paper, changes, needs = "nobody's yet", "weights", ("training",)

    def edit(self, model, tokenizer, batch, settings, cache=None):
        texts = make_examples(batch.edits, wordings=("prompt",), paraphrases=0)
        name = f"{output_matrices(model, [settings.layer])[settings.layer]}.weight"
        edited = change_weights(model, [name], frozenset(one.text for one in texts))
        chosen = TrainingSettings(settings.steps, learning_rate=settings.learning_rate, weight_decay=0.0)
        with undo_on_error(edited), only_trained(model, [name]):
            report = train(model, encode_examples(model, tokenizer, texts), chosen, progress=batch.progress)
        edited.report = {"steps": report.steps, "loss": report.loss}
        return edited
