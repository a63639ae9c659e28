"""Named workers, hand-over between them, queues to disk, signals, and where the milliseconds go.

Start with `worker` and `latest_slot`.
"""
