#version 330
// Where a vertex is in a pose, lashes left out.
in vec3 in_rest;
in float in_share;   // how far it goes along with the head
in ivec2 in_follows; // its first entry, and how many
in ivec2 in_margins;
in ivec2 in_lids;
in ivec2 in_kind;    // and of which eye
uniform sampler2D follows;         // number, amounts along x, y, z
uniform sampler2D follows_margins; // point, amount
uniform sampler2D margins;         // how points of lids are turned
uniform int crossing;              // whether there are any
uniform sampler2D lids;            // number, turn, growth
uniform float profile[32];         // of both eyeballs, from behind to the front
uniform vec3 neck_base;
out vec4 at;

#include "pose_numbers"

const int COVER = 1, BALL = 2, NECK_TURN = 0, NECK_CARRIED = 3, NECK_START = 6, GAZE = 9;
const float PI = 3.14159265358979, STEPS = 15.0;

vec3 gazing(vec3 v, int eye) {
    float yaw = number(GAZE + 2 * eye), pitch = number(GAZE + 2 * eye + 1);
    float c = cos(pitch), s = -sin(pitch);
    v = vec3(v.x, c * v.y - s * v.z, s * v.y + c * v.z);
    c = cos(yaw);
    s = sin(yaw);
    return vec3(c * v.x + s * v.z, v.y, c * v.z - s * v.x);
}

// How far from its middle a ball reaches at an angle to the gaze with this cosine.
float reach(float cosine, int eye) {
    float place = STEPS * (1.0 - acos(clamp(cosine, -1.0, 1.0)) / PI);
    float first = clamp(floor(place), 0.0, STEPS - 1.0);
    float low = cos(PI * (1.0 - first / STEPS)), high = cos(PI * (1.0 - (first + 1.0) / STEPS));
    int i = 16 * eye + int(first);
    return mix(profile[i], profile[i + 1], clamp((cosine - low) / (high - low), 0.0, 1.0));
}

vec3 kept_outside(vec3 p, int eye) {
    vec3 offset = p - centre[eye], rest = in_rest - centre[eye];
    float away = length(offset);
    float outer = reach(dot(offset, gazing(vec3(0.0, 0.0, 1.0), eye)) / max(away, 1e-9), eye);
    if (away >= outer) return p;
    float allowed = length(rest) + distance(offset, rest);
    return offset * max(min(outer, allowed) / max(away, 1e-9), 1.0) + centre[eye];
}

vec3 bent(vec3 p) {
    vec3 turn = three(NECK_TURN), v = (in_share <= 0.0 ? in_rest : p) - neck_base;
    float whole = length(turn), angle = (max(in_share, 0.0) - 1.0) * whole;
    vec3 axis = turn / max(whole, 1e-12);
    vec3 turned = mix(dot(axis, v) * axis, v, cos(angle)) + sin(angle) * cross(axis, v); // Rodrigues
    return turned + max(in_share, 0.0) * three(NECK_CARRIED) + three(NECK_START);
}

void main() {
    int eye = in_kind.y;
    vec3 p = in_rest;
    for (int i = in_follows.x; i < in_follows.x + in_follows.y; ++i) {
        vec4 along = entry(follows, i);
        p += number(int(along.x)) * along.yzw;
    }
    for (int i = in_margins.x; i < in_margins.x + in_margins.y * crossing; ++i) {
        vec4 along = entry(follows_margins, i);
        p += along.y * entry(margins, int(along.x)).xyz;
    }
    if (in_lids.y > 0) {
        vec2 lid = vec2(0.0);
        for (int i = in_lids.x; i < in_lids.x + in_lids.y; ++i) {
            vec4 with = entry(lids, i);
            lid += number(int(with.x)) * with.yz;
        }
        vec3 local = turned_up((p - centre[eye]) * frame[eye], lid.x);
        local.yz *= 1.0 + lid.y;
        p = frame[eye] * local + centre[eye];
    }
    if (in_kind.x == BALL) p = gazing(in_rest - centre[eye], eye) + centre[eye];
    if (in_kind.x == COVER) p = kept_outside(p, eye);
    at = vec4(in_share < 1.0 ? bent(p) : p, 1.0);
}
