#version 330
// A picture laid over what is shown, its alpha multiplied in already. Rounded where it is a photograph.
in vec2 uv;
in vec2 inside;
uniform sampler2D picture;
#ifdef ROUNDED
uniform vec4 box;
uniform float radius;
#endif
out vec4 shown;

void main() {
    shown = texture(picture, uv);
#ifdef ROUNDED
    vec2 corner = abs(inside) - box.zw * 0.5 + radius;
    float outside = length(max(corner, 0.0)) + min(max(corner.x, corner.y), 0.0) - radius;
    float rim = smoothstep(-1.75, -0.75, outside);
    shown = vec4(mix(shown.rgb, vec3(0.86), 0.55 * rim), 1.0) * clamp(0.5 - outside, 0.0, 1.0);
#endif
}
