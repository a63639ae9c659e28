// The viewer's light: a warm key from above left, a cool fill from the right, rims from behind, a soft sky.
// Lights stand still relative to the camera, and the viewer is taken to be far (the published field of view is 15
// degrees), so that half vectors are constants. All colours here are linear.
#include "material"

const vec3 KEY = vec3(-0.4640, 0.5104, 0.7240);
const vec3 KEY_HALF = vec3(-0.2499, 0.2749, 0.9284);
const vec3 FILL = vec3(0.8452, 0.0754, 0.5292);
const vec3 RIM = vec3(0.5571, 0.4457, -0.7008);
const vec3 RIM_LEFT = vec3(-0.7071, 0.2828, -0.6481);
const vec3 KEY_COLOR = vec3(0.80, 0.752, 0.70);
const vec3 FILL_COLOR = vec3(0.150, 0.172, 0.205);
const vec3 RIM_COLOR = vec3(0.52, 0.55, 0.60);
const vec3 SKY = vec3(0.215, 0.228, 0.245);
const vec3 GROUND = vec3(0.105, 0.088, 0.080);

// A pair fitted for this project: each other's inverse to 0.75/255, within 0.005 of the sRGB curve.
vec3 to_linear(vec3 c) { return c * (0.0342 + c * (0.5998 + c * 0.3660)); }
vec3 to_srgb(vec3 c) {
    vec3 s = sqrt(c);
    return 1.46759 * s - 0.12853 * sqrt(s) + c * (0.14746 * s - 0.48652);
}

// Hair and brows painted on a scan do not gleam as skin does.
float gleam(vec3 surface) { return clamp(0.2 + 6.0 * surface.r, 0.0, 1.0); }

// Light on a surface with normal n that sees the share `open` of its surroundings: what its colour is multiplied by,
// and the sheen to add.
void light_surface(vec3 n, float open, out vec3 diffuse, out float shine) {
    // Light that leaves the shadow's edge is the flesh's: wrapped per channel (Green, "Real-time approximations to
    // subsurface scattering", GPU Gems 2004).
    vec3 key = max(dot(n, KEY) * wrap_gain + wrap_offset, 0.0);
    key *= key * (1.0 - wrap_softness) + wrap_softness;
    vec3 shade = open * (vec3(1.5, 0.9, 0.84) + vec3(-0.5, 0.1, 0.16) * open); // shadows in flesh stay warm
    vec3 around = mix(GROUND, SKY, 0.5 + 0.5 * n.y) + FILL_COLOR * max(0.35 + 0.65 * dot(n, FILL), 0.0);
    float edge = 1.0 - max(n.z, 0.0);
    float edge2 = edge * edge;
    float rim = (max(dot(n, RIM) + 0.25, 0.0) + 0.6 * max(dot(n, RIM_LEFT) + 0.2, 0.0)) * open * open;
    diffuse = around * shade + KEY_COLOR * key * (0.25 + 0.75 * shade) + RIM_COLOR * (rim * edge);
    float glare = max(dot(n, KEY_HALF), 0.0);
    for (int i = 0; i < SHEEN_SQUARINGS; ++i) glare *= glare; // much cheaper than pow() where the processor draws
    shine = sheen * open * (glare + 1.2 * rim * edge2 * edge2);
}
