#version 330
// Surfaces under the studio light.
in vec2 uv;
#ifdef LIT_VERTICES
in vec3 lit;
in float lit_shine;
#else
in vec3 normal;
in vec3 color;
in float open;
#endif
#ifdef FACETED
in vec3 position;
#endif

uniform float alpha_from; // alpha below is dropped
uniform float alpha_to;   // alpha at or above is dropped (the soft pass leaves out what the solid pass drew)
#ifdef TEXTURED
uniform sampler2D picture;
#endif

out vec4 shown;

#include "studio_light"

const vec3 GLINT_HALF = vec3(-0.2000, 0.1300, 0.9712);
const vec2 GLINT_EDGE = vec2(0.99664, 0.99872); // cosines of 4.7 and 2.9 degrees: a pupil is about twice as wide

#ifdef INSIDE
void main() { // what lies behind an opening: dark, never shiny
    shown = vec4(to_srgb(back_color * (0.25 + 0.5 * max(-normalize(normal).z, 0.0))), 1.0);
}
#else

vec3 surface_normal() {
#ifdef FACETED
    vec3 n = normalize(cross(dFdx(position), dFdy(position)));
    return n * sign(n.z);
#elif defined(LIT_VERTICES)
    return vec3(0.0);
#else
    vec3 n = normalize(normal);
#ifdef TWO_SIDED
    if (!gl_FrontFacing) n = -n;
#endif
    return n;
#endif
}

void main() {
    vec4 surface = base_color;
#if defined(VERTEX_COLORS) && !defined(LIT_VERTICES)
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
    vec3 n = surface_normal();
    vec3 diffuse;
    float shine;
#ifdef LIT_VERTICES
    diffuse = lit;
    shine = lit_shine;
#else
    light_surface(n, open, diffuse, shine);
#endif
    vec3 seen = surface.rgb * diffuse + shine * gleam(surface.rgb);
#ifdef EYEBALL // the round reflection of a lamp, never larger than a part of the pupil; the mesh may be faceted or flat
    seen += glint * (0.25 + 0.75 * open) * smoothstep(GLINT_EDGE.x, GLINT_EDGE.y, dot(normalize(normal), GLINT_HALF));
#endif
#ifdef GLINT
    float spark = max(dot(n, GLINT_HALF), 0.0);
    for (int i = 0; i < 8; ++i) spark *= spark;
    seen += glint * (0.4 + 0.6 * open) * spark;
#endif
    vec3 bright = max(seen - 0.62, 0.0); // a soft shoulder instead of clipped highlights
    seen = seen - bright + bright / (1.0 + 2.4 * bright);
    shown = vec4(to_srgb(seen), surface.a);
}
#endif
