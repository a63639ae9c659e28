#version 330
// Where a vertex of a lash is, given where the rims of its lid are.
in ivec2 in_lash;          // its row, and which eye
uniform sampler2D places;  // of all other vertices
uniform sampler2D rims;    // column by row: two vertices, the share between them, angle at rest
uniform sampler2D lashes;  // of each: column, rim; offset; 33 weights
uniform float lash_turn;
out vec4 at;

#include "pose_numbers"

const int COLUMNS = 33;

vec3 on_rim(int row, int column) {
    vec4 between = texelFetch(rims, ivec2(column, 3 * in_lash.y + row), 0);
    vec3 p = mix(entry(places, int(between.x)).xyz, entry(places, int(between.y)).xyz, between.z);
    return (p - centre[in_lash.y]) * frame[in_lash.y];
}

float at_rest(int row, int column) { return texelFetch(rims, ivec2(column, 3 * in_lash.y + row), 0).w; }

// How far lashes turn that stand in this column.
float turn(int row, int column) {
    vec3 p = on_rim(row, column);
    float own = lash_turn * (atan(p.y, p.z) - at_rest(row, column));
    if (row == 0) return own;
    vec3 down = on_rim(2, column) - p; // over a cheek that bulges, lower lashes lie on it
    return max(own, atan(down.z, -down.y) - at_rest(2, column));
}

void main() {
    vec4 root = texelFetch(lashes, ivec2(0, in_lash.x), 0);
    vec3 offset = texelFetch(lashes, ivec2(1, in_lash.x), 0).xyz;
    int row = int(root.y), first = min(int(root.x), COLUMNS - 2);
    float angle = 0.0;
    for (int column = 0; column < COLUMNS; ++column) {
        float weight = texelFetch(lashes, ivec2(2 + column / 4, in_lash.x), 0)[column % 4];
        if (weight != 0.0) angle += weight * turn(row, column);
    }
    vec3 from = mix(on_rim(row, first), on_rim(row, first + 1), root.x - float(first));
    at = vec4(frame[in_lash.y] * (from + turned_up(offset, angle)) + centre[in_lash.y], 1.0);
}
