"""Everything about meshes and their pictures: files in and out (`mesh`), drawing (`gl`), the window (`window`).

Nothing here knows of drivers or avatars: it is handed what it shows.
"""
