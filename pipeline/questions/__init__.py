"""Changes to edits, questions and training sentences, in words.

`build` runs the steps in their order, with its settings; `steps` says what a step is.
`macros` is the grammar, `templates` what the catalogue says, `names` what everything is called, `facts` what is certain
on both days. `single_questions` asks about an edit and looks at each text last, `locality`, `history` and
`chain_questions` (of the chains that `multi_hop` chooses) add their kinds; `sets` and `set_questions` do the same about
sets of values. `sentences` writes what a small model is trained on.
"""
