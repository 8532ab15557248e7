"""Statements from any SPARQL engine.

`queries` writes the text, `source` finds the subjects and asks for their statements and entities, `results` reads the
answers. `client` is an endpoint over HTTP: `http_policy` says what its replies mean, `rate_limit` how it wants to be
asked, `recording` keeps every answer. `endpoint_source` puts them together, `neighbourhood` reads only what changed and
what that names.
"""
