// The only file that knows Python. Shapes and values are checked in Python before anything is called here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "triangles.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace img2world;

template <typename T, typename... Shape>
using Array = nb::ndarray<T, nb::numpy, nb::device::cpu, nb::c_contig, Shape...>;

static void bind_triangles(nb::module_& m) {
    m.def(
        "rasterize_triangles",
        [](Array<const float, nb::shape<-1, 3>> vertices, Array<const float, nb::shape<-1>> alphas,
           Array<const int32_t, nb::shape<-1, 3>> faces, float fx, float fy, float cx, float cy, float near,
           int threads, Array<int32_t, nb::shape<-1, -1>> face, Array<float, nb::shape<-1, -1, 2>> barycentric,
           Array<float, nb::shape<-1, -1>> depth) {
            const TriangleMesh mesh{vertices.data(), alphas.data(), faces.data(), static_cast<int64_t>(faces.shape(0))};
            const Pinhole camera{fx, fy, cx, cy, near, static_cast<int>(face.shape(1)), static_cast<int>(face.shape(0))};
            nb::gil_scoped_release release;
            rasterize_triangles(mesh, camera, threads, {face.data(), barycentric.data(), depth.data()});
        },
        // noconvert: otherwise a wrong dtype is copied in silence, and results written to the copy are lost.
        "vertices"_a.noconvert(), "alphas"_a.noconvert(), "faces"_a.noconvert(), "fx"_a, "fy"_a, "cx"_a, "cy"_a,
        "near"_a, "threads"_a, "face"_a.noconvert(), "barycentric"_a.noconvert(), "depth"_a.noconvert());
}

NB_MODULE(_native, m) {
    bind_triangles(m);
}
