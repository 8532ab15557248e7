"""Editors that leave the model as it is and rewrite what it is asked.

`rewritten_model` rewrites each prompt, `subject_index` and `retrieval` find the edits that concern it; `in_context`
tells them before the question, `memory` answers from a store and takes chains apart.
"""
