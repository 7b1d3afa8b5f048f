#include "layers.hpp"

#include <cmath>
#include <cstring>

#include "buffer.hpp"

namespace img2world {
namespace {

// So many stay in the second-level cache.
constexpr int SAMPLES_PER_BAND = 16384;

typedef float Vector __attribute__((vector_size(16)));

Vector load(const float* p) {
    Vector value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

// The two pixels whose centres are beside a coordinate, and the weight of the second. Beyond the border both are its.
struct Neighbors {
    int first, second;
    float weight;
};
Neighbors neighbors_of(float coordinate, int size) {
    const float from_center = std::clamp(coordinate - 0.5f, 0.0f, static_cast<float>(size - 1));
    const int first = static_cast<int>(from_center);
    return {first, std::min(first + 1, size - 1), from_center - static_cast<float>(first)};
}

Vector mix(Vector a, Vector b, float weight) { return a * (1.0f - weight) + b * weight; }

Vector sample_level(const float* level, int width, const Neighbors& x, const Neighbors& y) {
    const auto row = [&](int number) {
        const float* pixels = level + 4 * static_cast<int64_t>(number) * width;
        return mix(load(pixels + 4 * x.first), load(pixels + 4 * x.second), x.weight);
    };
    return mix(row(y.first), row(y.second), y.weight);
}

// Bilinear in each level, linear between the two nearest levels.
Vector sample_color(const Texture& texture, Vector coordinates) {
    const auto sample = [&](int number) {
        const int scale = number == 0 ? texture.detail : 1;
        const int width = scale * texture.width, height = scale * texture.height;
        const Neighbors x = neighbors_of(static_cast<float>(scale) * coordinates[0], width);
        const Neighbors y = neighbors_of(static_cast<float>(scale) * coordinates[1], height);
        return sample_level(texture.levels[number], width, x, y);
    };
    const float level = std::clamp(coordinates[2], 0.0f, static_cast<float>(texture.levels.size() - 1));
    const int sharper = static_cast<int>(level);
    const float weight = level - static_cast<float>(sharper);
    const Vector color = sample(sharper);
    return weight == 0.0f ? color : mix(color, sample(sharper + 1), weight);
}

uint8_t sample_seen(const Texture& texture, Vector coordinates) {
    const int x = static_cast<int>(std::clamp(coordinates[0], 0.0f, static_cast<float>(texture.width - 1)));
    const int y = static_cast<int>(std::clamp(coordinates[1], 0.0f, static_cast<float>(texture.height - 1)));
    return texture.seen[static_cast<int64_t>(y) * texture.width + x];
}

const Texture& texture_of(const Layers& layers, int32_t face) {
    size_t layer = 0;
    while (face >= layers.face_ends[layer]) layer++;
    return layers.textures[layer];
}

Vector interpolate_coordinates(const Layers& layers, const TriangleHit& hit) {
    const int32_t* index = layers.mesh.faces + 3 * static_cast<int64_t>(hit.face);
    const auto corner = [&](int k) { return load(layers.texture_coordinates + 4 * static_cast<int64_t>(index[k])); };
    return corner(0) * (1.0f - hit.second - hit.third) + corner(1) * hit.second + corner(2) * hit.third;
}

// One pixel from its samples, the first of which is given; rows of samples are `row_length` apart.
void resolve_pixel(const Layers& layers, const TriangleHit* samples, int row_length, int supersample, int64_t pixel,
                   const WarpedPicture& out) {
    Vector sum = {};
    int count = 0;
    float depth = INFINITY;
    uint8_t seen = UINT8_MAX;
    for (int row = 0; row < supersample; row++) {
        for (int column = 0; column < supersample; column++) {
            const TriangleHit& hit = samples[static_cast<int64_t>(row) * row_length + column];
            if (hit.face < 0) continue;
            const Texture& texture = texture_of(layers, hit.face);
            const Vector coordinates = interpolate_coordinates(layers, hit);
            sum += sample_color(texture, coordinates);
            seen = std::min(seen, sample_seen(texture, coordinates));
            depth = std::min(depth, hit.depth);
            count++;
        }
    }
    for (int k = 0; k < 3; k++) out.rgb[3 * pixel + k] = count > 0 ? sum[k] / static_cast<float>(count) : 0.0f;
    out.alpha[pixel] = static_cast<float>(count) / static_cast<float>(supersample * supersample);
    out.depth[pixel] = count > 0 ? depth : 0.0f;
    out.seen[pixel] = count > 0 ? seen : 0;
}

}  // namespace

void draw_layers(const Layers& layers, const Pinhole& camera, int supersample, int threads, const WarpedPicture& out) {
    const int rows = std::max(1, SAMPLES_PER_BAND / (camera.width * supersample)) * supersample;
    const int64_t samples = static_cast<int64_t>(rows) * camera.width;
    ThreadPoolLock pool(threads);
    const ProjectedMesh projected(layers.mesh, camera, rows, pool.get());
    pool.get().run(projected.num_bands(), [&](int band) {
        static thread_local Buffer<TriangleHit> hits;
        hits.resize(samples);
        projected.draw_band(band, hits.data());
        int64_t pixel = static_cast<int64_t>(projected.first_row(band)) * camera.width / (supersample * supersample);
        for (int row = 0; row < projected.num_rows(band); row += supersample) {
            const TriangleHit* const samples_of_row = hits.data() + static_cast<int64_t>(row) * camera.width;
            for (int column = 0; column < camera.width; column += supersample) {
                resolve_pixel(layers, samples_of_row + column, camera.width, supersample, pixel++, out);
            }
        }
    });
}

}  // namespace img2world
