"""Drawing without OpenGL where the processor draws anyway: one C file, compiled on the user's machine.

Start with `painter`; what it draws is what `render.gl.mesh_renderer` draws. OpenGL still shows the pictures.
"""
