"""Drawing with OpenGL: contexts, targets, shaders, the renderer, and pictures with exact depth (`rgbd`).

Start with `gl_context`, the only place where contexts are made, and `mesh_renderer`. Windows are next door.
"""
