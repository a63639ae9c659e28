#version 330
// A mesh in the head's frame. Normals and view vectors leave in view axes: x right, y up, z towards the viewer.
in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
in vec3 in_color; // sRGB
in float in_open; // how much of its surroundings the vertex sees

layout(std140) uniform View { // the same for all that is drawn of a picture
    mat4 clip_from_head;
    vec3 light_from_x; // rotation from the head's frame into the axes the lights stand in: its first column,
    vec3 light_from_y; // and its second
};
uniform vec4 depth_from_head; // along the view

out vec2 uv;
#ifdef LIT_VERTICES // light worked out here: where triangles are a few pixels small it looks the same and costs less
#include "studio_light"
out vec3 lit;
out float lit_shine;
#else
out vec3 normal;
out vec3 color;
out float open;
#endif
out float depth;
#ifdef FACETED
out vec3 position;
#endif

void main() {
    mat3 light_from_head = mat3(light_from_x, light_from_y, cross(light_from_x, light_from_y));
    gl_Position = clip_from_head * vec4(in_position, 1.0);
    vec3 turned = light_from_head * in_normal;
    turned *= inversesqrt(max(dot(turned, turned), 1e-36)); // a vertex of empty faces has none
    uv = in_uv;
#ifdef LIT_VERTICES
    light_surface(turned, in_open, lit, lit_shine);
#ifdef VERTEX_COLORS
    vec3 tint = to_linear(in_color);
    lit *= tint;
    lit_shine *= gleam(tint);
#endif
#else
    normal = turned;
    color = in_color;
    open = in_open;
#endif
    depth = dot(depth_from_head, vec4(in_position, 1.0));
#ifdef FACETED
    position = light_from_head * in_position;
#endif
}
