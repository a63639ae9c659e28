#version 330
// How far a point of a lid turns where margins would cross, in the units of the head that is drawn.
in vec3 in_base;
in vec3 in_centre;
in float in_share;
in ivec2 in_follows; // its first entry, and how many
in int in_overlap;   // which number says by how much
uniform sampler2D follows_units; // number, amounts along x, y, z
uniform mat3 to_skin;            // its rows as columns
out vec4 at;

#include "pose_numbers"

void main() {
    vec3 p = in_base;
    for (int i = in_follows.x; i < in_follows.x + in_follows.y; ++i) {
        vec4 along = entry(follows_units, i);
        p += number(int(along.x)) * along.yzw;
    }
    vec3 offset = p - in_centre;
    float away = max(length(offset), 1e-9), around = atan(offset.x, offset.z);
    float height = asin(clamp(offset.y / away, -1.0, 1.0)) + in_share * number(in_overlap);
    vec3 turned = away * vec3(cos(height) * sin(around), sin(height), cos(height) * cos(around));
    at = vec4((turned - offset) * to_skin, 1.0);
}
