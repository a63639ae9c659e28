#version 330
// What is drawn of a vertex: its place, its normal, and how much of its surroundings it sees.
in int in_place;
in ivec2 in_faces; // its first entry, and how many
in float in_open;
in vec4 in_ball;   // the middle of its eyeball and which one it is, -1 for all else
uniform sampler2D places;
uniform sampler2D faces; // corners, how often
uniform sampler2D shade; // of eyeballs, by direction (render/gl/eyeballs.py), one picture over the other
uniform float shade_rim;
uniform int balls;       // whether eyeballs are lit as such
out vec4 shown;
out vec3 normal;

vec4 entry(sampler2D list, int i) {
    int wide = textureSize(list, 0).x;
    return texelFetch(list, ivec2(i % wide, i / wide), 0);
}

float seen(vec3 outward) {
    vec3 unit = outward / max(length(outward), 1e-12);
    int grid = textureSize(shade, 0).x;
    vec2 place = (unit.xy / (1.0 + max(unit.z, -0.5)) + shade_rim) * float(grid - 1) / (2.0 * shade_rim);
    ivec2 cell = ivec2(clamp(floor(place + 0.5), 0.0, float(grid - 1)));
    return texelFetch(shade, ivec2(cell.x, cell.y + int(in_ball.w) * grid), 0).r;
}

void main() {
    vec3 p = entry(places, in_place).xyz;
    shown = vec4(p, in_open);
    if (balls == 1 && in_ball.w >= 0.0) {
        normal = p - in_ball.xyz;
        shown.w = seen(normal);
        return;
    }
    normal = vec3(0.0); // weighted by area, as the cross products are not normalised
    for (int i = in_faces.x; i < in_faces.x + in_faces.y; ++i) {
        vec4 face = entry(faces, i);
        vec3 a = entry(places, int(face.x)).xyz;
        normal += face.w * cross(entry(places, int(face.y)).xyz - a, entry(places, int(face.z)).xyz - a);
    }
}
