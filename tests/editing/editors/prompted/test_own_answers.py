"""What a model says to an editor's own questions: each asked once, the same in any company, and how far it has come."""

from __future__ import annotations

from chronofacts.editing.editors.prompted.own_answers import open_own_answers
from chronofacts.editing.progress import SteadyReport
from tests.editing.models.families import tiny, tiny_tokenizer

PROMPTS = ["Q: Who runs Linz? A:", "Q: Where is it? A:", "Q: Who was born in the town of Wels? A:"]


def test_what_was_asked_before_is_not_asked_again() -> None:
    model, read = tiny("llama"), list[int]()
    model.get_input_embeddings().register_forward_hook(lambda _, given, found: read.append(len(given[0])))
    ask = open_own_answers(model, tiny_tokenizer(), 6, lambda line: None, "asking")
    first, before = ask([*PROMPTS, PROMPTS[0]]), len(read)
    assert first[0] == first[3] and before
    assert ask(PROMPTS[::-1]) == first[2::-1] and len(read) == before
    alone = open_own_answers(model, tiny_tokenizer(), 6, lambda line: None, "asking")
    assert [alone([prompt])[0] for prompt in PROMPTS] == first[:3]


def test_a_long_silence_while_a_model_answers_says_how_far_it_has_come() -> None:
    now, lines = [0.0], list[str]()
    report, model = SteadyReport(lines.append, lambda: now[0]), tiny("llama")

    def remind(*_: object) -> None:
        now[0] += 20.0
        report.remind()

    model.get_input_embeddings().register_forward_hook(remind)
    open_own_answers(model, tiny_tokenizer(), 6, report, "memory: asking the model its hops")(PROMPTS)
    assert lines[0].startswith("memory: asking the model its hops: token 0 of 18")
    assert any("token 0" not in line for line in lines)
    assert open_own_answers(model, tiny_tokenizer(), 6, report, "asking")([]) == []
