"""A language model made within minutes from a snapshot's sentences, with no download.

`context_examples` writes facts before a question, `pretrain` trains the tokenizer and the model on all sentences.
"""
