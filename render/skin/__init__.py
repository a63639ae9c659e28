"""Heads whose vertices follow a few numbers: what about them never changes, and the numbers of one pose.

Start with `moving_skin`. Engines make both (`engine.expression.skin_numbers`), `render.gl.posed_mesh` draws them;
nothing here knows of engines or of OpenGL.
"""
