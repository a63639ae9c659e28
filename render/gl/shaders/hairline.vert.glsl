#version 330
// A triangle thinner than a pixel, such as a piece of a lash, as a strip at least one pixel wide along its longest side.
in vec3 in_a;
in vec3 in_b;
in vec3 in_c;
in vec3 in_tint; // sRGB
uniform mat4 clip_from_head;
uniform vec2 size;
uniform float nearer;

flat out vec3 tint;
flat out float width; // in pixels, of the triangle on average
out float across;     // in pixels, from the strip's middle

void main() {
    vec3 corners[3] = vec3[3](in_a, in_b, in_c);
    vec4 clip[3];
    vec2 at[3];
    for (int i = 0; i < 3; ++i) {
        clip[i] = clip_from_head * vec4(corners[i], 1.0);
        at[i] = (clip[i].xy / clip[i].w * 0.5 + 0.5) * size;
    }
    vec3 sides = vec3(distance(at[0], at[1]), distance(at[1], at[2]), distance(at[2], at[0]));
    int first = sides.x >= max(sides.y, sides.z) ? 0 : sides.y >= sides.z ? 1 : 2;
    int second = (first + 1) % 3, third = (first + 2) % 3;
    float run = max(max(sides.x, max(sides.y, sides.z)), 1e-6);
    vec2 along = (at[second] - at[first]) / run, aside = vec2(-along.y, along.x);
    width = abs(dot(at[third] - at[first], aside)) * 0.5;
    bool end = (gl_VertexID & 1) == 1;
    across = (0.5 * max(width, 1.0) + 0.5) * ((gl_VertexID & 2) == 2 ? 1.0 : -1.0);
    vec2 middle = (end ? at[second] * 2.0 + at[third] : at[first] * 2.0 + at[third]) / 3.0 + across * aside;
    vec4 from = end ? clip[second] : clip[first];
    gl_Position = from.w > 0.0 ? vec4(middle / size * 2.0 - 1.0, from.z / from.w - nearer, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
    tint = in_tint;
}
