"""Changes to edits, questions and training sentences, in words.

`settings` says for which days and how many; `names` and `templates` give the words, `facts` what is certain on both
days. `direct`, `multi_hop`, `locality` and `history` ask about single values, `sets` and `set_questions` about sets;
`sentences` and `set_sentences` write what a small model is trained on. `build` runs them in order.
"""
