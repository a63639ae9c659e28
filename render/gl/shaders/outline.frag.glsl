#version 330
// Geometric post-process anti-aliasing (after Persson, "Geometric anti-aliasing methods", GPU Pro 2, 2011): where an
// outline crosses a pixel, the share of the pixel beyond it takes the colour of the neighbour beyond it.
flat in vec3 line;
flat in float flatter;
uniform sampler2D picture;
out vec4 shown;

void main() {
    bool rows = flatter > 0.5;
    vec2 here = rows ? gl_FragCoord.xy : gl_FragCoord.yx;
    float beyond = line.y + line.z * (here.x - line.x) - here.y; // where the outline passes, seen from the centre
    ivec2 at = ivec2(gl_FragCoord.xy);
    ivec2 step_over = ivec2(sign(beyond)) * (rows ? ivec2(0, 1) : ivec2(1, 0));
    ivec2 last = textureSize(picture, 0) - 1;
    vec4 own = texelFetch(picture, at, 0); // alpha multiplied in
    vec4 other = texelFetch(picture, clamp(at + step_over, ivec2(0), last), 0);
    shown = mix(own, other, max(0.5 - abs(beyond), 0.0));
}
