#include "texels.hpp"

#include <algorithm>

namespace img2world {

void add_view(const TexturedView& view, const TexelEquations& out) {
    for (int64_t i = 0; i < view.count; i++) {
        if (view.face[i] < 0 || view.weight[i] <= 0.0f) continue;
        const int32_t* corners = view.faces + 3 * static_cast<int64_t>(view.face[i]);
        const float *a = view.texels + 2 * corners[0], *b = view.texels + 2 * corners[1], *c = view.texels + 2 * corners[2];
        const float second = view.barycentric[2 * i], third = view.barycentric[2 * i + 1], first = 1.0f - second - third;
        const float x = std::clamp(first * a[0] + second * b[0] + third * c[0] - 0.5f, 0.0f, out.width - 1.001f);
        const float y = std::clamp(first * a[1] + second * b[1] + third * c[1] - 0.5f, 0.0f, out.height - 1.001f);
        const int column = static_cast<int>(x), row = static_cast<int>(y);
        const float across = x - static_cast<float>(column), along = y - static_cast<float>(row);
        const float samples[4] = {(1 - across) * (1 - along), across * (1 - along), (1 - across) * along, across * along};
        const int64_t texel = static_cast<int64_t>(row) * out.width + column, below = texel + out.width;
        const int64_t places[4] = {texel, texel + 1, below, below + 1};
        const float weight = view.weight[i];
        for (int k = 0; k < 4; k++) {
            out.diagonal[places[k]] += weight * samples[k] * samples[k];
            for (int channel = 0; channel < 3; channel++)
                out.target[3 * places[k] + channel] += weight * samples[k] * view.rgb[3 * i + channel];
        }
        out.right[texel] += weight * samples[0] * samples[1];
        out.right[below] += weight * samples[2] * samples[3];
        out.down[texel] += weight * samples[0] * samples[2];
        out.down[texel + 1] += weight * samples[1] * samples[3];
        out.down_right[texel] += weight * samples[0] * samples[3];
        out.down_left[texel + 1] += weight * samples[1] * samples[2];
    }
}

}  // namespace img2world
