#version 330
// The viewer's light: a warm key from above left, a cool fill from the right, a rim from behind, a soft sky.
// Lights stand still relative to the camera, and the viewer is taken to be far (the published field of view is 15
// degrees), so that half vectors are constants. Light is summed in linear space.
in vec3 normal;
in vec2 uv;
in vec3 color;
in float open;
#ifdef FACETED
in vec3 position;
#endif

uniform vec4 base_color;   // linear
uniform vec3 wrap_gain;    // of light that leaks past the shadow's edge, per channel
uniform vec3 wrap_offset;
uniform vec3 wrap_softness;
uniform vec3 back_color;   // linear
uniform float sheen;
uniform float glint;
uniform float alpha_from;  // alpha below is dropped
uniform float alpha_to;    // alpha at or above is dropped (the soft pass leaves out what the solid pass drew)
uniform float cut_off;
#ifdef TEXTURED
uniform sampler2D picture;
#endif

out vec4 shown;

const vec3 KEY = vec3(-0.4640, 0.5104, 0.7240);
const vec3 KEY_HALF = vec3(-0.2499, 0.2749, 0.9284);
const vec3 GLINT_HALF = vec3(-0.2057, 0.2743, 0.9394);
const vec3 FILL = vec3(0.8452, 0.0754, 0.5292);
const vec3 RIM = vec3(0.5571, 0.4457, -0.7008);
const vec3 RIM_LEFT = vec3(-0.7071, 0.2828, -0.6481);
const vec3 KEY_COLOR = vec3(0.80, 0.752, 0.70);
const vec3 FILL_COLOR = vec3(0.150, 0.172, 0.205);
const vec3 RIM_COLOR = vec3(0.62, 0.66, 0.72);
const vec3 SKY = vec3(0.215, 0.228, 0.245);
const vec3 GROUND = vec3(0.105, 0.088, 0.080);

// A pair fitted for this project: each other's inverse to 0.75/255, within 0.005 of the sRGB curve.
vec3 to_linear(vec3 c) { return c * (0.0342 + c * (0.5998 + c * 0.3660)); }
vec3 to_srgb(vec3 c) {
    vec3 s = sqrt(c);
    return 1.46759 * s - 0.12853 * sqrt(s) + c * (0.14746 * s - 0.48652);
}

#ifdef INSIDE
void main() { // what lies behind an opening: dark, never shiny
    shown = vec4(to_srgb(back_color * (0.25 + 0.5 * max(-normalize(normal).z, 0.0))), 1.0);
}
#else
void main() {
    vec4 surface = base_color;
#ifdef VERTEX_COLORS
    surface.rgb *= to_linear(color);
#endif
#ifdef TEXTURED
    vec4 texel = texture(picture, uv);
    surface.rgb *= to_linear(texel.rgb);
#ifdef ALPHA
    surface.a *= texel.a;
#endif
#endif
#ifdef ALPHA
#ifdef CUT_OUT
    surface.a = clamp((surface.a - cut_off) / max(fwidth(surface.a), 0.01) + 0.5, 0.0, 1.0); // an edge one pixel wide
#endif
    if (surface.a < alpha_from || surface.a >= alpha_to) discard;
#endif
#ifdef FACETED
    vec3 n = normalize(cross(dFdx(position), dFdy(position)));
    n *= sign(n.z);
#else
    vec3 n = normalize(normal);
#endif
#ifdef TWO_SIDED
    if (!gl_FrontFacing) n = -n;
#endif
    // Light that leaves the shadow's edge is the flesh's: wrapped per channel (Green, "Real-time approximations to
    // subsurface scattering", GPU Gems 2004).
    float key = dot(n, KEY);
    vec3 diffuse = max(key * wrap_gain + wrap_offset, 0.0);
    diffuse *= diffuse * (1.0 - wrap_softness) + wrap_softness;
    vec3 shade = vec3(open, open * (0.88 + 0.12 * open), open * (0.82 + 0.18 * open)); // shadows in flesh stay warm
    vec3 light = mix(GROUND, SKY, 0.5 + 0.5 * n.y);
    light += FILL_COLOR * (0.35 + 0.65 * dot(n, FILL)) * step(-0.53, dot(n, FILL));
    light = light * shade + KEY_COLOR * diffuse * mix(vec3(1.0), shade, 0.75);

    float edge = 1.0 - max(n.z, 0.0);
    float edge2 = edge * edge;
    float rim = max(dot(n, RIM) + 0.25, 0.0) + 0.6 * max(dot(n, RIM_LEFT) + 0.2, 0.0);
    vec3 seen = surface.rgb * light + surface.rgb * RIM_COLOR * rim * edge * open;
    float shine = max(dot(n, KEY_HALF), 0.0);
    for (int i = 0; i < SHEEN_SQUARINGS; ++i) shine *= shine; // much cheaper than pow() where the processor draws
    float smooth_skin = clamp(0.2 + 6.0 * surface.r, 0.0, 1.0); // hair and brows painted on a scan do not gleam
    seen += sheen * smooth_skin * open * (shine + RIM_COLOR * rim * open * edge2 * edge2 * 3.0);
#ifdef GLINT
    float spark = max(dot(n, GLINT_HALF), 0.0);
    for (int i = 0; i < 7; ++i) spark *= spark;
    seen += glint * open * spark;
#endif
    vec3 bright = max(seen - 0.62, 0.0); // a soft shoulder instead of clipped highlights
    seen = seen - bright + bright / (1.0 + 2.4 * bright);
    shown = vec4(to_srgb(seen), surface.a);
}
#endif
