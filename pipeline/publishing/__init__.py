"""A snapshot or an adapter to the Hugging Face Hub.

`contents` says what a publication holds, with the `charts` of its card; `plan` what would be written; `hub` commits a
snapshot, `adapter` a PEFT model; `errors` says in one line what went wrong.
"""
