#version 330
// A picture of the size that is drawn, pixel by pixel.
uniform sampler2D picture;
out vec4 shown;

void main() {
    shown = texelFetch(picture, ivec2(gl_FragCoord.xy), 0);
}
