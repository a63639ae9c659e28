#version 330
// The published light for source pictures: a point light far on +z of the avatar's world, 0.5 ambient + 0.5 diffuse,
// no highlights, colours taken as they are stored. Beside the colour: camera depth and the number of the face.
in vec3 normal;
in vec2 uv;
in vec3 color;
in float depth;

uniform vec4 base_color; // as stored
uniform float alpha_from;
uniform float first_face;
#ifdef TEXTURED
uniform sampler2D picture;
#endif

layout(location = 0) out vec4 shown;
layout(location = 1) out vec2 geometry; // depth, face + 1; both 0 where empty

void main() {
    vec4 surface = base_color;
    surface.rgb *= color;
#ifdef TEXTURED
    vec4 texel = texture(picture, uv);
    surface.rgb *= texel.rgb;
#ifdef ALPHA
    surface.a *= texel.a;
#endif
#endif
#ifdef ALPHA
    if (surface.a < alpha_from) discard;
#endif
    float facing = normalize(normal).z;
    shown = vec4(surface.rgb * (0.5 + 0.5 * max(facing, 0.0)), 1.0);
    geometry = vec2(depth, first_face + float(gl_PrimitiveID) + 1.0);
}
