"""What any training needs: batches, schedules, optimizers, checkpoints, processes that agree.

Start with `feed`; the loop itself is `engine.training.trainer`.
"""
