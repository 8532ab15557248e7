"""Changes to edits, questions and training sentences, in words.

`build` runs the steps in their order, with its settings; `steps` says what a step is.
`macros` is the grammar, `templates` what the catalogue says, `names` what everything is called, `facts` what is certain
on both days. `direct`, `multi_hop`, `locality` and `history` ask about single values, `sets` and `set_questions` about
sets; `checks` looks at each text last, and `sentences` writes what a small model is trained on.
"""
