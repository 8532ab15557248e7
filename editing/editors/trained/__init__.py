"""Editors that train by gradient.

`examples` chooses what is trained on, `gradient` holds the settings and the weights that can be put back; `lora`,
`prompt_tuning`, `freeze` and `finetune` train with them, `lora_batched` trains many single edits side by side.
"""
