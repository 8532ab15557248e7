"""Editors that leave the model as it is and rewrite its prompts.

`rewritten_model` rewrites each prompt, `subject_index` and `retrieval` find the edits that concern it, `told_facts`
puts them before it. `in_context` does that alone, `ike` behind `demonstrations` of what to do with them, `rag` with
those nearest by `embedding`. `memory` answers from a store and takes chains apart by `english_cues`; in `mello` the
model does that itself.
"""
