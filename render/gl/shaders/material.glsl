// How a group of faces looks; the same for all its pictures. render/gl/material_block.py fills it.
layout(std140) uniform Material {
    vec4 base_color;   // linear
    vec3 back_color;   // linear
    float glint;
    vec3 wrap_gain;    // of light that leaks past the shadow's edge, per channel
    float sheen;
    vec3 wrap_offset;
    float cut_off;
    vec3 wrap_softness;
};
