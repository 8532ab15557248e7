"""The commands, one module for what belongs together; `flows.cli` lists them.

Each is a plain function whose signature says what it takes, whose docstring is its help, and whose errors are
`ChronoFactsError`s. `arguments` and `checks` are what they share before the work begins, `reach` whether the Hub can
be reached, `works` whether Prefect runs the work. Each imports what it needs when it runs, so that
`chronofacts --help` answers at once.
"""
