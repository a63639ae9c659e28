"""Sessions as they lie on the disk: their files, what is in them, and reading them back.

Start with `reader`; `folder_names` lists the files of a session, `records` and `manifest` say what is in them. Writing
them beside a live picture is `realtime.recording`; nothing here starts a thread or waits for a disk.
"""
