// Memory that is reused.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace img2world {

// An array of plain values that only grows; growing loses the values. Large ones ask for huge pages, because with
// scattered access to small ones most of the time would be spent on page table walks.
template <typename T>
class Buffer {
   public:
    void resize(size_t size) {
        if (size > capacity_) {
            constexpr size_t HUGE_PAGE = 2 << 20;
            const size_t wanted = (std::max(size, capacity_ + capacity_ / 2) * sizeof(T) + 63) / 64 * 64;
            const size_t page = wanted < HUGE_PAGE ? 64 : HUGE_PAGE, bytes = (wanted + page - 1) / page * page;
            data_.reset();
            capacity_ = 0;
            data_.reset(static_cast<T*>(std::aligned_alloc(page, bytes)));
            if (data_ == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
            if (page == HUGE_PAGE) madvise(data_.get(), bytes, MADV_HUGEPAGE);
#endif
            capacity_ = bytes / sizeof(T);
        }
        size_ = size;
    }
    size_t size() const { return size_; }
    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    T& operator[](size_t i) { return data_.get()[i]; }
    const T& operator[](size_t i) const { return data_.get()[i]; }

   private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> data_;
    size_t size_ = 0, capacity_ = 0;
};

}  // namespace img2world
