"""A snapshot or an adapter to the Hugging Face Hub, and a snapshot from it.

`contents` says what a publication holds, with the `charts` of its card; `plan` what would be written; `hub` commits a
snapshot, `adapter` a PEFT model; `download` fetches a snapshot; `errors` says in one line what went wrong.
"""
