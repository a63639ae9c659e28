"""What is changed of a session's motion after it was recorded, which stays as it is: `edits` are functions from one
motion track to another, `edit_list` keeps those that belong to a session, in their order.

Whoever replays or exports a session asks `edit_list.edited`. Start with `edits`.
"""
