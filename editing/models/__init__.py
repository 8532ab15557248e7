"""A causal language model and what there is to know of it: everything else in `editing` stands on this.

`load` loads and saves it and finds its parts, `architecture` finds where it stores facts, `chat` puts a prompt into a
user's turn, `encoding` makes tokens, `distributed` trains it in several processes.
"""
