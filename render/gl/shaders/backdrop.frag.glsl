#version 330
// A neutral studio backdrop: a soft pool of light behind the head, darker corners, dithered against banding.
uniform vec2 size;
uniform vec3 centre_color; // sRGB
uniform vec3 corner_color;
out vec4 shown;

void main() {
    vec2 at = gl_FragCoord.xy / size;
    vec2 away = (at - vec2(0.5, 0.44)) * vec2(size.x / size.y, 1.0) * vec2(0.92, 1.05);
    float glow = exp(-2.1 * dot(away, away));
    // Interleaved gradient noise: Jimenez, "Next generation post processing in Call of Duty", SIGGRAPH 2014.
    float noise = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
    shown = vec4(mix(corner_color, centre_color, glow) + (noise - 0.5) / 255.0, 1.0);
}
