"""The commands, one module for what belongs together; `flows.cli` lists them.

Each is a plain function whose signature says what it takes, whose docstring is its help, and whose errors are
`ChronoFactsError`s. Each imports what it needs when it runs, so that `chronofacts --help` answers at once.
"""
