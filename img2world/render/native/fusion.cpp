// Truncated signed distances (Curless and Levoy 1996) and surface colours as weighted means over views.
//
// Multiply-adds are not fused, so every instruction set gives the same bits.
#include "fusion.hpp"

#include "kernels.hpp"
#include "simd.hpp"

namespace img2world {
namespace IMG2WORLD_SIMD {
namespace {

struct Vector {
    Float x, y, z;
};
INLINE Float dot(const Vector& a, const Vector& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
INLINE Vector load_vector(const float* p, int64_t stride, int count) {
    return {load_some(p, count), load_some(p + stride, count), load_some(p + 2 * stride, count)};
}

INLINE void clear(float* values, int64_t count) { std::memset(values, 0, count * sizeof(float)); }
INLINE void divide(float* sums, const float* weights, int64_t count) {
    for (int64_t i = 0; i < count; i++) sums[i] /= weights[i] > 1e-9f ? weights[i] : 1e-9f;
}
INLINE Float channel(Int pixels, int c) { return __builtin_convertvector((pixels >> (8 * c)) & 255, Float); }

// What the maps of one view hold at the pixels that points project to.
struct Sample {
    Int is_known;        // mask; the rest is undefined where it is 0
    Int pixel;
    Float depth_behind;  // from the point to the surface, along +Z
    Float tilt;
};

struct View {
    const DepthMaps& maps;
    const float *pose, *intrinsics, *depth, *tilt;
    float weight;
    int64_t first_pixel;

    View(const DepthMaps& maps, int64_t i)
        : maps(maps), pose(maps.cam_from_world + 16 * i), intrinsics(maps.intrinsics + 9 * i), weight(maps.weights[i]),
          first_pixel(i * maps.width * maps.height) {
        depth = maps.depth + first_pixel;
        tilt = maps.tilt + first_pixel;
    }
    INLINE Vector turn(const Vector& v) const {
        return {pose[0] * v.x + pose[1] * v.y + pose[2] * v.z, pose[4] * v.x + pose[5] * v.y + pose[6] * v.z,
                pose[8] * v.x + pose[9] * v.y + pose[10] * v.z};
    }
    INLINE Vector to_cam(const Vector& point) const {
        const Vector turned = turn(point);
        return {turned.x + pose[3], turned.y + pose[7], turned.z + pose[11]};
    }
    INLINE Sample sample(const Vector& in_cam) const {
        const Float inverse = 1.0f / maximum(in_cam.z, splat(NEAR));
        const Float u = in_cam.x * inverse * intrinsics[0] + intrinsics[2];
        const Float v = in_cam.y * inverse * intrinsics[4] + intrinsics[5];
        const Float zero = {};
        const Int in_view = (in_cam.z > NEAR) & (u >= zero) & (u < static_cast<float>(maps.width)) & (v >= zero) &
                            (v < static_cast<float>(maps.height));
        // Converting a float beyond the range of int is undefined.
        const Int column = __builtin_convertvector(select(in_view, u, zero), Int);
        const Int row = __builtin_convertvector(select(in_view, v, zero), Int);
        Sample found;
        found.pixel = row * maps.width + column;
        const Float measured = gather_at(depth, found.pixel);
        found.is_known = in_view & (measured > zero);
        found.depth_behind = measured - in_cam.z;
        found.tilt = gather_at(tilt, found.pixel);
        return found;
    }
};

}  // namespace

void fuse_points(const FusionTask& task, int64_t begin, int64_t end) {
    const Float zero = {}, one = splat(1.0f);
    clear(task.distances + begin, end - begin);
    clear(task.weights + begin, end - begin);
    for (int64_t view = 0; view < task.maps.views; view++) {
        if (task.maps.weights[view] == 0.0f) continue;
        const View map(task.maps, view);
        for_vectors(begin, end, task.count, [&](int64_t i, int count) {
            const Sample sample = map.sample(map.to_cam(load_vector(task.points + i, task.count, count)));
            const Float truncation = load_some(task.truncation + i, count);
            const Float distance = sample.depth_behind * sample.tilt / truncation;
            // A surface seen at a grazing angle is located badly, so the tilt is a weight, too.
            const Float weight = select(sample.is_known & (distance > -one), map.weight * sample.tilt, zero);
            const Float clipped = minimum(maximum(distance, -one), one);
            store_some(task.distances + i, count, load_some(task.distances + i, count) + weight * clipped);
            store_some(task.weights + i, count, load_some(task.weights + i, count) + weight);
        });
    }
    divide(task.distances + begin, task.weights + begin, end - begin);
}

void color_points(const PointColorTask& task, int64_t begin, int64_t end) {
    const Float zero = {};
    clear(task.weights + begin, end - begin);
    for (int c = 0; c < 3; c++) clear(task.colors + c * task.count + begin, end - begin);
    for (int64_t view = 0; view < task.maps.views; view++) {
        if (task.maps.weights[view] == 0.0f) continue;
        const View map(task.maps, view);
        const uint32_t* rgba = task.rgba + map.first_pixel;
        for_vectors(begin, end, task.count, [&](int64_t i, int count) {
            const Vector point = map.to_cam(load_vector(task.points + i, task.count, count));
            const Vector normal = map.turn(load_vector(task.normals + i, task.count, count));
            const Sample sample = map.sample(point);
            const Float cosine = -dot(point, normal) / square_root(maximum(dot(point, point), splat(1e-20f)));
            const Float distance = sample.depth_behind * sample.tilt, tolerance = load_some(task.tolerance + i, count);
            const Int visible = sample.is_known & (cosine > task.min_cosine) & (distance < tolerance) & (distance > -tolerance);
            // The fourth power favours the view that faces the surface.
            const Float weight = select(visible, map.weight * (cosine * cosine) * (cosine * cosine), zero);
            Int pixels;
            for (int k = 0; k < LANES; k++) pixels[k] = static_cast<int32_t>(rgba[sample.pixel[k]]);
            const Float scale = weight / maximum(channel(pixels, 3), splat(1.0f));
            for (int c = 0; c < 3; c++) {
                float* sum = task.colors + c * task.count + i;
                store_some(sum, count, load_some(sum, count) + minimum(scale * channel(pixels, c), weight));
            }
            store_some(task.weights + i, count, load_some(task.weights + i, count) + weight);
        });
    }
    for (int c = 0; c < 3; c++) divide(task.colors + c * task.count + begin, task.weights + begin, end - begin);
}

}  // namespace IMG2WORLD_SIMD
}  // namespace img2world
