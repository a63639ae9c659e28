#version 330
// One outline edge as a strip one pixel thick, measured across its steeper axis: one pixel of every column (or row).
in vec3 in_from;
in vec3 in_to;
uniform mat4 clip_from_head;
uniform vec2 size;
uniform float nearer; // pulled towards the eye, so that the surface that bulges beside the edge does not hide it

flat out vec3 line;  // a point on it along its own axis, across it, and the slope
flat out float flatter;

void main() {
    vec4 from = clip_from_head * vec4(in_from, 1.0), to = clip_from_head * vec4(in_to, 1.0);
    vec2 a = (from.xy / from.w * 0.5 + 0.5) * size, b = (to.xy / to.w * 0.5 + 0.5) * size;
    vec2 run = b - a;
    flatter = step(abs(run.y), abs(run.x));
    line = flatter > 0.5 ? vec3(a.x, a.y, run.y / run.x) : vec3(a.y, a.x, run.x / run.y);
    bool second = (gl_VertexID & 1) == 1;
    vec2 across = (flatter > 0.5 ? vec2(0.0, 1.0) : vec2(1.0, 0.0)) * ((gl_VertexID & 2) == 2 ? 0.5 : -0.5);
    vec2 at = ((second ? b : a) + across) / size * 2.0 - 1.0;
    vec4 end = second ? to : from;
    bool in_front = from.w > 0.0 && to.w > 0.0 && max(abs(run.x), abs(run.y)) > 0.0;
    gl_Position = in_front ? vec4(at, end.z / end.w - nearer, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
}
