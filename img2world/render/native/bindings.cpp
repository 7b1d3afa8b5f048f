// The only file that knows Python. Shapes and values are checked in Python before anything is called here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include "layers.hpp"
#include "loss.hpp"
#include "rasterizer.hpp"
#include "skinning.hpp"
#include "texels.hpp"
#include "triangles.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace img2world;

template <typename T, typename... Shape>
using Array = nb::ndarray<T, nb::numpy, nb::device::cpu, nb::c_contig, Shape...>;
using Rows = Array<float, nb::shape<-1>>;
template <int WIDTH>
using Table = Array<float, nb::shape<-1, WIDTH>>;
using Coefficients = Array<float, nb::shape<-1, -1, 3>>;
using Counts = Array<int32_t, nb::shape<-1>>;
using Map = Array<float, nb::shape<-1, -1>>;
using ColorMap = Array<float, nb::shape<-1, -1, 3>>;

static Kernels find_kernels(const std::string& name) {
    const AvailableKernels available = available_kernels();
    for (int i = 0; i < available.count; i++) {
        if (name == available.kernels[i].name) return available.kernels[i];
    }
    throw std::invalid_argument("no such instruction set here: " + name);
}

// Every array is bound noconvert: otherwise an array of a wrong dtype is copied silently, and results written to the copy are lost.

static void bind_camera(nb::module_& m) {
    nb::class_<Camera>(m, "Camera")
        .def(
            "__init__",
            [](Camera* camera, Array<const float, nb::shape<4, 4>> cam_from_world, Array<const float, nb::shape<3>> center,
               float fx, float fy, float cx, float cy, int width, int height) {
                new (camera) Camera{{}, {}, fx, fy, cx, cy, width, height};
                std::copy_n(cam_from_world.data(), 12, camera->cam_from_world);
                std::copy_n(center.data(), 3, camera->center_in_world);
            },
            "cam_from_world"_a.noconvert(), "center_in_world"_a.noconvert(), "fx"_a, "fy"_a, "cx"_a, "cy"_a, "width"_a,
            "height"_a);
}

static Gaussians as_gaussians(const Table<3>& means, const Table<4>& quats, const Table<3>& log_scales,
                              const Rows& logit_opacities, const Coefficients& sh) {
    return {means.data(), quats.data(), log_scales.data(), logit_opacities.data(), sh.data(),
            static_cast<int64_t>(means.shape(0)), static_cast<int>(sh.shape(1))};
}

static Picture as_picture(const ColorMap& rgb, const Map& alpha, const Map& depth) {
    return {static_cast<int>(rgb.shape(1)), static_cast<int>(rgb.shape(0)), rgb.data(), alpha.data(), depth.data()};
}

template <typename T>
static auto data_or_null(const std::optional<T>& array) {
    return array ? array->data() : nullptr;
}

static void bind_frame(nb::module_& m) {
    nb::class_<Frame>(m, "Frame")
        .def(nb::init<>())
        .def_prop_ro("num_entries", &Frame::num_entries)
        .def(
            "draw",
            [](Frame& frame, const std::string& simd, int threads, const Camera& camera, bool antialiased, Table<3> means,
               Table<4> quats, Table<3> log_scales, Rows logit_opacities, Coefficients sh, std::optional<Table<3>> colors,
               Array<const float, nb::shape<3>> background, ColorMap rgb, Map alpha, Map depth, Table<2> screen_means,
               Counts radii) {
                const Kernels kernels = find_kernels(simd);
                const ProjectTask task{as_gaussians(means, quats, log_scales, logit_opacities, sh), camera,
                                       data_or_null(colors), antialiased, nullptr, nullptr, nullptr, screen_means.data(),
                                       radii.data()};
                nb::gil_scoped_release release;
                ThreadPoolLock pool(threads);
                return frame.draw(kernels, pool.get(), task, background.data(), as_picture(rgb, alpha, depth));
            },
            "simd"_a, "threads"_a, "camera"_a, "antialiased"_a, "means"_a.noconvert(), "quats"_a.noconvert(),
            "log_scales"_a.noconvert(), "logit_opacities"_a.noconvert(), "sh"_a.noconvert(),
            "colors"_a.noconvert().none(), "background"_a.noconvert(), "rgb"_a.noconvert(), "alpha"_a.noconvert(),
            "depth"_a.noconvert(), "screen_means"_a.noconvert(), "radii"_a.noconvert())
        .def(
            "backward",
            [](Frame& frame, const std::string& simd, int threads, const Camera& camera, bool antialiased, Table<3> means,
               Table<4> quats, Table<3> log_scales, Rows logit_opacities, Coefficients sh, std::optional<Table<3>> colors,
               Counts radii, ColorMap rgb, Map alpha, Map depth, ColorMap rgb_gradient, std::optional<Map> alpha_gradient,
               std::optional<Map> depth_gradient, Table<3> means_gradient, Table<4> quats_gradient,
               Table<3> log_scales_gradient, Rows logit_opacities_gradient, std::optional<Coefficients> sh_gradient,
               std::optional<Table<3>> colors_gradient, Table<2> screen_means_gradient,
               std::optional<Array<double, nb::shape<CAMERA_VALUES>>> camera_gradient) {
                const Kernels kernels = find_kernels(simd);
                const ProjectTask task{as_gaussians(means, quats, log_scales, logit_opacities, sh), camera,
                                       data_or_null(colors), antialiased, nullptr, nullptr, nullptr, nullptr, radii.data()};
                const PictureGradients upstream{rgb_gradient.data(), data_or_null(alpha_gradient),
                                                data_or_null(depth_gradient)};
                const GaussianGradients out{means_gradient.data(), quats_gradient.data(), log_scales_gradient.data(),
                                            logit_opacities_gradient.data(), data_or_null(sh_gradient),
                                            data_or_null(colors_gradient), screen_means_gradient.data()};
                nb::gil_scoped_release release;
                ThreadPoolLock pool(threads);
                frame.backward(kernels, pool.get(), task, as_picture(rgb, alpha, depth), upstream, out,
                               data_or_null(camera_gradient));
            },
            "simd"_a, "threads"_a, "camera"_a, "antialiased"_a, "means"_a.noconvert(), "quats"_a.noconvert(),
            "log_scales"_a.noconvert(), "logit_opacities"_a.noconvert(), "sh"_a.noconvert(),
            "colors"_a.noconvert().none(), "radii"_a.noconvert(), "rgb"_a.noconvert(), "alpha"_a.noconvert(),
            "depth"_a.noconvert(), "rgb_gradient"_a.noconvert(), "alpha_gradient"_a.noconvert().none(),
            "depth_gradient"_a.noconvert().none(), "means_gradient"_a.noconvert(), "quats_gradient"_a.noconvert(),
            "log_scales_gradient"_a.noconvert(), "logit_opacities_gradient"_a.noconvert(),
            "sh_gradient"_a.noconvert().none(), "colors_gradient"_a.noconvert().none(),
            "screen_means_gradient"_a.noconvert(), "camera_gradient"_a.noconvert().none());
}

static void bind_loss(nb::module_& m) {
    using Bytes = Array<const uint8_t, nb::shape<-1, -1>>;
    using ColorBytes = Array<const uint8_t, nb::shape<-1, -1, 3>>;
    m.def(
        "view_loss",
        [](const std::string& simd, int threads, ColorMap image, std::optional<Map> alpha, std::optional<Map> depth,
           ColorBytes target, std::optional<Bytes> target_alpha, std::optional<Map> target_depth, double colors_weight,
           double dssim_fraction, double alpha_weight, double depth_weight, double max_depth_error, std::optional<ColorMap> gradient,
           std::optional<Map> alpha_gradient, std::optional<Map> depth_gradient) {
            const Kernels kernels = find_kernels(simd);
            LossTask task{};
            task.width = static_cast<int>(image.shape(1));
            task.height = static_cast<int>(image.shape(0));
            task.image = image.data();
            task.target = target.data();
            task.alpha = data_or_null(alpha);
            task.target_alpha = data_or_null(target_alpha);
            task.depth = data_or_null(depth);
            task.target_depth = data_or_null(target_depth);
            task.gradient = data_or_null(gradient);
            task.alpha_gradient = data_or_null(alpha_gradient);
            task.depth_gradient = data_or_null(depth_gradient);
            nb::gil_scoped_release release;
            ThreadPoolLock pool(threads);
            return view_loss(kernels, pool.get(), task, {colors_weight, dssim_fraction, alpha_weight, depth_weight, max_depth_error});
        },
        "simd"_a, "threads"_a, "image"_a.noconvert(), "alpha"_a.noconvert().none(), "depth"_a.noconvert().none(),
        "target"_a.noconvert(), "target_alpha"_a.noconvert().none(), "target_depth"_a.noconvert().none(),
        "colors_weight"_a, "dssim_fraction"_a, "alpha_weight"_a, "depth_weight"_a, "max_depth_error"_a, "gradient"_a.noconvert().none(),
        "alpha_gradient"_a.noconvert().none(), "depth_gradient"_a.noconvert().none());
}

static void bind_adam(nb::module_& m) {
    using Flat = Array<float, nb::shape<-1, -1>>;
    m.def(
        "adam",
        [](const std::string& simd, int threads, Flat values, Flat gradients, Flat means, Flat squares,
           std::optional<Counts> radii, Array<const float, nb::shape<-1>> rates, int64_t step, double beta1, double beta2,
           double epsilon) {
            constexpr int64_t ROWS_PER_PIECE = 4096;
            const Kernels kernels = find_kernels(simd);
            const size_t columns = values.shape(1);
            std::vector<float> rates_of_steps(columns + MAX_LANES);
            for (size_t i = 0; i < rates_of_steps.size(); i++) {
                rates_of_steps[i] = static_cast<float>(rates.data()[i % columns] / (1 - std::pow(beta1, step)));
            }
            const AdamTask task{values.data(), gradients.data(), means.data(), squares.data(), data_or_null(radii),
                                static_cast<int64_t>(columns), static_cast<float>(beta1),
                                static_cast<float>(beta2), static_cast<float>(epsilon), rates_of_steps.data(),
                                static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, step)))};
            nb::gil_scoped_release release;
            ThreadPoolLock pool(threads);
            pool.get().run_ranges(static_cast<int64_t>(values.shape(0)), ROWS_PER_PIECE,
                                  [&](int64_t begin, int64_t end) { kernels.adam_rows(task, begin, end); });
        },
        "simd"_a, "threads"_a, "values"_a.noconvert(), "gradients"_a.noconvert(), "means"_a.noconvert(),
        "squares"_a.noconvert(), "radii"_a.noconvert().none(), "rates"_a.noconvert(), "step"_a, "beta1"_a, "beta2"_a, "epsilon"_a);
}

using Vertices = Array<const float, nb::shape<-1, 3>>;
using VertexValues = Array<const float, nb::shape<-1>>;
using Faces = Array<const int32_t, nb::shape<-1, 3>>;
using Intrinsics = Array<const float, nb::shape<3, 3>>;

static TriangleMesh as_mesh(const Vertices& vertices, const VertexValues& alphas, const Faces& faces) {
    return {vertices.data(), alphas.data(), faces.data(), static_cast<int64_t>(vertices.shape(0)),
            static_cast<int64_t>(faces.shape(0))};
}

static Pinhole as_pinhole(const Array<const float, nb::shape<4, 4>>& cam_from_mesh, const Intrinsics& intrinsics,
                          float near, size_t width, size_t height) {
    Pinhole camera{{}, intrinsics(0, 0), intrinsics(1, 1), intrinsics(0, 2), intrinsics(1, 2), near,
                   static_cast<int>(width), static_cast<int>(height)};
    std::copy_n(cam_from_mesh.data(), 12, camera.cam_from_mesh);
    return camera;
}

static void bind_triangles(nb::module_& m) {
    m.def(
        "rasterize_triangles",
        [](int threads, Vertices vertices, VertexValues alphas, Faces faces,
           Array<const float, nb::shape<4, 4>> cam_from_mesh, Intrinsics intrinsics, float near,
           Array<int32_t, nb::shape<-1, -1>> face, Array<float, nb::shape<-1, -1, 2>> barycentric, Map depth) {
            const Pinhole camera = as_pinhole(cam_from_mesh, intrinsics, near, face.shape(1), face.shape(0));
            nb::gil_scoped_release release;
            rasterize_triangles(as_mesh(vertices, alphas, faces), camera, threads,
                                {face.data(), barycentric.data(), depth.data()});
        },
        "threads"_a, "vertices"_a.noconvert(), "alphas"_a.noconvert(), "faces"_a.noconvert(),
        "cam_from_mesh"_a.noconvert(), "intrinsics"_a.noconvert(), "near"_a, "face"_a.noconvert(),
        "barycentric"_a.noconvert(), "depth"_a.noconvert());
}

static void bind_layers(nb::module_& m) {
    using Level = Array<const float, nb::shape<-1, -1, 4>>;
    m.def(
        "draw_layers",
        [](int threads, Vertices vertices, VertexValues alphas, Faces faces,
           Array<const float, nb::shape<-1, 4>> texture_coordinates, std::vector<std::vector<Level>> levels,
           std::vector<Array<const uint8_t, nb::shape<-1, -1>>> seen, std::vector<int64_t> face_ends,
           Array<const float, nb::shape<4, 4>> cam_from_world, Intrinsics intrinsics, float near,
           int supersample, ColorMap rgb, Map alpha, Map depth, Array<uint8_t, nb::shape<-1, -1>> out_seen) {
            Layers layers{as_mesh(vertices, alphas, faces), texture_coordinates.data(), {}, std::move(face_ends)};
            for (size_t i = 0; i < levels.size(); i++) {
                Texture texture{{}, seen[i].data(), static_cast<int>(seen[i].shape(1)), static_cast<int>(seen[i].shape(0)),
                                static_cast<int>(levels[i][0].shape(1) / seen[i].shape(1))};
                for (const Level& level : levels[i]) texture.levels.push_back(level.data());
                layers.textures.push_back(std::move(texture));
            }
            const Pinhole camera = as_pinhole(cam_from_world, intrinsics, near, supersample * rgb.shape(1),
                                              supersample * rgb.shape(0));
            nb::gil_scoped_release release;
            draw_layers(layers, camera, supersample, threads, {rgb.data(), alpha.data(), depth.data(), out_seen.data()});
        },
        "threads"_a, "vertices"_a.noconvert(), "alphas"_a.noconvert(), "faces"_a.noconvert(),
        "texture_coordinates"_a.noconvert(), "levels"_a.noconvert(), "seen"_a.noconvert(), "face_ends"_a,
        "cam_from_world"_a.noconvert(), "intrinsics"_a.noconvert(), "near"_a, "supersample"_a, "rgb"_a.noconvert(),
        "alpha"_a.noconvert(), "depth"_a.noconvert(), "out_seen"_a.noconvert());
}

static void bind_fusion(nb::module_& m) {
    using Maps = Array<const float, nb::shape<-1, -1, -1>>;
    using Points = Array<const float, nb::shape<3, -1>>;
    using Values = Array<const float, nb::shape<-1>>;
    constexpr int64_t POINTS_PER_PIECE = 4096;
    nb::class_<DepthMaps>(m, "DepthMaps")
        .def(
            "__init__",
            [](DepthMaps* maps, Array<const float, nb::shape<-1, 4, 4>> cam_from_world,
               Array<const float, nb::shape<-1, 3, 3>> intrinsics, Maps depth, Maps tilt, Values weights) {
                new (maps) DepthMaps{cam_from_world.data(), intrinsics.data(), depth.data(), tilt.data(), weights.data(),
                                     static_cast<int64_t>(depth.shape(0)), static_cast<int>(depth.shape(2)),
                                     static_cast<int>(depth.shape(1))};
            },
            "cam_from_world"_a.noconvert(), "intrinsics"_a.noconvert(), "depth"_a.noconvert(), "tilt"_a.noconvert(),
            "weights"_a.noconvert(), nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>(),
            nb::keep_alive<1, 5>(), nb::keep_alive<1, 6>());
    m.def(
        "fuse_points",
        [](const std::string& simd, int threads, const DepthMaps& maps, Points points, Values truncation, Rows distances,
           Rows weights) {
            const Kernels kernels = find_kernels(simd);
            const FusionTask task{maps, points.data(), truncation.data(), distances.data(), weights.data(),
                                  static_cast<int64_t>(points.shape(1))};
            nb::gil_scoped_release release;
            ThreadPoolLock pool(threads);
            pool.get().run_ranges(task.count, POINTS_PER_PIECE,
                                  [&](int64_t begin, int64_t end) { kernels.fuse_points(task, begin, end); });
        },
        "simd"_a, "threads"_a, "maps"_a, "points"_a.noconvert(), "truncation"_a.noconvert(), "distances"_a.noconvert(),
        "weights"_a.noconvert());
    m.def(
        "color_points",
        [](const std::string& simd, int threads, const DepthMaps& maps, Array<const uint32_t, nb::shape<-1, -1, -1>> rgba,
           Points points, Points normals, Values tolerance, float min_cosine, Array<float, nb::shape<3, -1>> colors,
           Rows weights) {
            const Kernels kernels = find_kernels(simd);
            const PointColorTask task{maps, rgba.data(), points.data(), normals.data(), tolerance.data(),
                                      min_cosine, colors.data(), weights.data(), static_cast<int64_t>(points.shape(1))};
            nb::gil_scoped_release release;
            ThreadPoolLock pool(threads);
            pool.get().run_ranges(task.count, POINTS_PER_PIECE,
                                  [&](int64_t begin, int64_t end) { kernels.color_points(task, begin, end); });
        },
        "simd"_a, "threads"_a, "maps"_a, "rgba"_a.noconvert(), "points"_a.noconvert(),
        "normals"_a.noconvert(), "tolerance"_a.noconvert(), "min_cosine"_a, "colors"_a.noconvert(),
        "weights"_a.noconvert());
}

static void bind_texels(nb::module_& m) {
    using Texels = Array<float, nb::shape<-1, -1>>;
    m.def(
        "add_view_to_texels",
        [](Array<const int32_t, nb::shape<-1, -1>> face, Array<const float, nb::shape<-1, -1, 2>> barycentric,
           Array<const float, nb::shape<-1, -1>> weight, Array<const float, nb::shape<-1, -1, 3>> rgb, Faces faces,
           Array<const float, nb::shape<-1, 2>> texels, Texels diagonal, Texels right, Texels down, Texels down_right,
           Texels down_left, Array<float, nb::shape<-1, -1, 3>> target) {
            const TexturedView view{face.data(), barycentric.data(), weight.data(), rgb.data(),
                                    static_cast<int64_t>(face.size()), faces.data(), texels.data()};
            const TexelEquations equations{diagonal.data(), right.data(), down.data(), down_right.data(),
                                           down_left.data(), target.data(), static_cast<int>(diagonal.shape(1)),
                                           static_cast<int>(diagonal.shape(0))};
            nb::gil_scoped_release release;
            add_view(view, equations);
        },
        "face"_a.noconvert(), "barycentric"_a.noconvert(), "weight"_a.noconvert(), "rgb"_a.noconvert(),
        "faces"_a.noconvert(), "texels"_a.noconvert(), "diagonal"_a.noconvert(), "right"_a.noconvert(),
        "down"_a.noconvert(), "down_right"_a.noconvert(), "down_left"_a.noconvert(), "target"_a.noconvert());
}

static void bind_skinning(nb::module_& m) {
    using Bones = Array<const float, nb::shape<-1, BONE_VALUES>>;
    using Indices = Array<const int32_t, nb::shape<-1, BONES_OF_EACH>>;
    static_assert(BONES_OF_EACH == 4);
    const auto as_task = [](const Bones& bones, const Indices& indices, const Table<4>& logits, const Table<3>& means,
                            const Table<4>& quats) {
        return SkinTask{bones.data(), indices.data(), logits.data(), means.data(), quats.data(),
                        static_cast<int64_t>(means.shape(0)), static_cast<int64_t>(bones.shape(0))};
    };
    m.def(
        "skin",
        [as_task](int threads, Bones bones, Indices indices, Table<4> logits, Table<3> means, Table<4> quats,
                  Table<3> moved, Table<4> turned) {
            const SkinTask task = as_task(bones, indices, logits, means, quats);
            nb::gil_scoped_release release;
            ThreadPoolLock pool(threads);
            skin(pool.get(), task, moved.data(), turned.data());
        },
        "threads"_a, "bones"_a.noconvert(), "indices"_a.noconvert(), "logits"_a.noconvert(), "means"_a.noconvert(),
        "quats"_a.noconvert(), "moved"_a.noconvert(), "turned"_a.noconvert());
    m.def(
        "skin_backward",
        [as_task](int threads, Bones bones, Indices indices, Table<4> logits, Table<3> means, Table<4> quats,
                  Table<3> moved, Table<4> turned, Table<BONE_VALUES> to_bones, Table<4> to_logits, Table<3> to_means,
                  Table<4> to_quats) {
            const SkinTask task = as_task(bones, indices, logits, means, quats);
            const SkinGradients out{to_bones.data(), to_logits.data(), to_means.data(), to_quats.data()};
            nb::gil_scoped_release release;
            ThreadPoolLock pool(threads);
            skin_backward(pool.get(), task, moved.data(), turned.data(), out);
        },
        "threads"_a, "bones"_a.noconvert(), "indices"_a.noconvert(), "logits"_a.noconvert(), "means"_a.noconvert(),
        "quats"_a.noconvert(), "moved"_a.noconvert(), "turned"_a.noconvert(), "to_bones"_a.noconvert(),
        "to_logits"_a.noconvert(), "to_means"_a.noconvert(), "to_quats"_a.noconvert());
}

NB_MODULE(_native, m) {
    // Images whose autograd graph is alive when Python exits would be reported as leaks.
    nb::set_leak_warnings(false);
    bind_camera(m);
    bind_frame(m);
    bind_loss(m);
    bind_adam(m);
    bind_triangles(m);
    bind_texels(m);
    bind_fusion(m);
    bind_layers(m);
    bind_skinning(m);
    m.def("simd_levels", [] {
        const AvailableKernels available = available_kernels();
        std::vector<std::string> names;
        for (int i = 0; i < available.count; i++) names.emplace_back(available.kernels[i].name);
        return names;
    });
    nb::dict constants;
    constants["LOW_PASS"] = LOW_PASS;
    constants["MIN_ALPHA"] = MIN_ALPHA;
    constants["MAX_ALPHA"] = MAX_ALPHA;
    constants["MIN_TRANSMITTANCE"] = MIN_TRANSMITTANCE;
    constants["JACOBIAN_MARGIN"] = JACOBIAN_MARGIN;
    constants["NEAR"] = NEAR;
    constants["FAR"] = FAR;
    constants["MAX_EXTENT"] = MAX_EXTENT;
    constants["MIN_QUAT_NORM"] = MIN_QUAT_NORM;
    m.attr("CONSTANTS") = constants;
}
