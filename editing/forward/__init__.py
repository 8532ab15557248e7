"""Forward passes that compute only what is needed; the one clever folder.

`packing` lays texts out in rows without padding, `partial` runs only what a loss needs: the blocks of a `block_range`,
and of the last block the scored positions (`pruned`, `pruned_attention`). `hidden_state_cache` keeps what leaves frozen
blocks, `prompt_prefix_cache` keeps the keys and values of a beginning that prompts share, `row_beginnings` those of
each row's own. `scored_logits` runs the head where answers are, `grouped_attention` is the CPU's in bfloat16.
Whatever a family may not bear is tried on the model first (`shortcut_trial`).
"""
