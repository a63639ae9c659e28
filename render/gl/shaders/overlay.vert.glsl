#version 330
// A rectangle given in pixels from the top left corner of what is shown.
uniform vec4 box;      // left, top, width, height
uniform vec2 size;     // of the whole picture
uniform float upwards; // +1 where row 0 is the top one in memory, -1 for a window
uniform float mirrored;
out vec2 uv;
out vec2 inside;

void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    vec2 at = (box.xy + corner * box.zw) / size * 2.0 - 1.0;
    gl_Position = vec4(at.x, at.y * upwards, 0.0, 1.0);
    uv = vec2(mirrored > 0.5 ? 1.0 - corner.x : corner.x, corner.y);
    inside = (corner - 0.5) * box.zw;
}
