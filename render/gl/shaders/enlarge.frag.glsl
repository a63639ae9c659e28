#version 330
// A picture enlarged by cubic convolution (Keys 1981), its first row where the target has its own.
uniform sampler2D picture;
uniform vec2 size; // of the larger one
out vec4 shown;

const float A = -0.75;

vec4 weights(float t) {
    vec4 d = vec4(1.0 + t, t, 1.0 - t, 2.0 - t);
    vec2 near = ((A + 2.0) * d.yz - (A + 3.0)) * d.yz * d.yz + 1.0;
    vec2 far = ((A * d.xw - 5.0 * A) * d.xw + 8.0 * A) * d.xw - 4.0 * A;
    return vec4(far.x, near.x, near.y, far.y);
}

void main() {
    ivec2 last = textureSize(picture, 0) - 1;
    vec2 at = gl_FragCoord.xy / size * vec2(last + 1) - 0.5;
    ivec2 first = ivec2(floor(at)) - 1;
    vec4 across = weights(fract(at.x)), down = weights(fract(at.y));
    shown = vec4(0.0);
    for (int row = 0; row < 4; ++row)
        for (int column = 0; column < 4; ++column)
            shown += across[column] * down[row] * texelFetch(picture, clamp(first + ivec2(column, row), ivec2(0), last), 0);
}
