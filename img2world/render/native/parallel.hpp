// Runs independent pieces of work on threads. The pieces must not depend on which thread runs them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace img2world {

// Calls work(i) for i in [0, count), on up to `threads` threads, in any order.
template <typename Work>
void parallel_for(int64_t count, int threads, const Work& work) {
    const int used = static_cast<int>(std::min<int64_t>(std::max(threads, 1), count));
    if (used <= 1) {
        for (int64_t i = 0; i < count; i++) work(i);
        return;
    }
    std::atomic<int64_t> next{0};
    const auto drain = [&] {
        for (int64_t i = next++; i < count; i = next++) work(i);
    };
    std::vector<std::thread> helpers;
    for (int t = 1; t < used; t++) helpers.emplace_back(drain);
    drain();
    for (auto& helper : helpers) helper.join();
}

}  // namespace img2world
