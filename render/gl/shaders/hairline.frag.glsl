#version 330
// As opaque as the thin triangle would cover the pixel.
flat in vec3 tint;
flat in float width;
in float across;
out vec4 shown;

void main() {
    float inside = clamp(0.5 * max(width, 1.0) + 0.5 - abs(across), 0.0, 1.0);
    shown = vec4(tint, inside * min(width, 1.0));
}
