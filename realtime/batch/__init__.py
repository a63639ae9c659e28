"""`vfa batch`: many recordings on many heads. The `job_list` that a user writes; the `journal` that makes a run
resumable; `workers` (processes) and the `schedule` that keeps them busy; the `book` of what happens, and its `results`.

Start with `schedule`. What a worker does with a job is in `realtime.batch_worker`, the options in
`realtime.batch_command`.
"""
