"""Named workers, hand-over between them, queues to disk, and where the milliseconds go.

Start with `worker` and `latest_slot`.
"""
