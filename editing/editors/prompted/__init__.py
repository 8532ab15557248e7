"""Editors that leave the model as it is and rewrite its prompts.

`rewritten_model` rewrites each prompt, `subject_index` and `retrieval` find the edits that concern it. `in_context`
puts them before the question; `memory` answers from a store and takes chains apart by `english_cues`.
"""
