// From lengths on the screen to pixels.
#pragma once

#include <algorithm>

namespace img2world {

struct PixelRange {
    int begin, end;
};

// The pixels whose centres are within [low, high], as a half-open range inside [0, size).
inline PixelRange pixels_within(float low, float high, int size) {
    // Clamped before the conversion: a float out of int's range has no defined value as an int. It is not below zero
    // then, where the conversion rounds down.
    const float limit = static_cast<float>(size);
    const float first = std::min(std::max(low - 0.5f, 0.0f), limit), end = std::min(std::max(high + 0.5f, 0.0f), limit);
    const int begin = static_cast<int>(first);
    return {begin + (static_cast<float>(begin) < first), static_cast<int>(end)};
}

}  // namespace img2world
