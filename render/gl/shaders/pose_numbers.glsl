// The numbers of a pose, and tables too long for uniforms: see render/skin/moving_skin.py.
uniform sampler2D exact;   // the first numbers, one row
uniform sampler2D rounded; // the others
uniform int exact_count;
uniform mat3 frame[2];     // of each eye, its rows as columns
uniform vec3 centre[2];

float number(int i) {
    return i < exact_count ? texelFetch(exact, ivec2(i, 0), 0).r : texelFetch(rounded, ivec2(i - exact_count, 0), 0).r;
}

vec3 three(int i) { return vec3(number(i), number(i + 1), number(i + 2)); }

vec4 entry(sampler2D list, int i) {
    int wide = textureSize(list, 0).x;
    return texelFetch(list, ivec2(i % wide, i / wide), 0);
}

// A point in an eye's frame, turned upwards about the axis along the eye.
vec3 turned_up(vec3 local, float angle) {
    float c = cos(angle), s = sin(angle);
    return vec3(local.x, c * local.y + s * local.z, c * local.z - s * local.y);
}
