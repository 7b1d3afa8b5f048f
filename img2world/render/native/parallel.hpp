// Runs independent pieces of work on threads. Results must not depend on which thread runs a piece.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <pthread.h>

namespace img2world {

// Threads that live as long as this object, because starting one takes longer than many pieces of our work.
class ThreadPool {
   public:
    explicit ThreadPool(int threads) {
        for (int i = 1; i < threads; i++) helpers_.emplace_back([this] { help(); });
    }
    ~ThreadPool() {
        unclaimed_ = STOP;
        unclaimed_.notify_all();
        for (auto& helper : helpers_) helper.join();
    }
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return static_cast<int>(helpers_.size()) + 1; }

    // Calls work(i) for i in [0, count), in any order, and returns when all calls have returned. Helpers that the
    // scheduler has not woken yet are not waited for: whoever is awake takes the next piece. `work` must not throw.
    template <typename Work>
    void run(int32_t count, const Work& work) {
        if (helpers_.empty() || count < 2) {
            for (int32_t i = 0; i < count; i++) work(i);
            return;
        }
        const std::function<void(int32_t)> piece = std::cref(work);
        work_ = &piece;
        count_ = count;
        unfinished_ = count;
        unclaimed_ = count;
        unclaimed_.notify_all();
        finish_pieces();
        spin_while([&] { return unfinished_ > 0; });
        for (int32_t left = unfinished_; left > 0; left = unfinished_) unfinished_.wait(left);
    }

    // Calls work(begin, end) for pieces of [0, count) of at most `size`.
    template <typename Work>
    void run_ranges(int64_t count, int64_t size, const Work& work) {
        run(static_cast<int32_t>((count + size - 1) / size),
            [&](int32_t i) { work(i * size, std::min(count, (i + 1) * size)); });
    }

   private:
    static constexpr int32_t STOP = -1;

    // A piece is claimed by counting down. `run` cannot return, nor the next one begin, before a claimed piece is
    // finished, so only those who hold one may read work_ and count_.
    void finish_pieces() noexcept {
        int32_t left = unclaimed_;
        while (left > 0) {
            if (!unclaimed_.compare_exchange_weak(left, left - 1)) continue;
            (*work_)(count_ - left);
            if (--unfinished_ == 0) unfinished_.notify_one();
            left = unclaimed_;
        }
    }
    void help() {
        while (unclaimed_ != STOP) {
            finish_pieces();
            spin_while([&] { return unclaimed_ == 0; });
            unclaimed_.wait(0);
        }
    }

    // Waking up can take longer than the work itself, above all in a virtual machine, and in a training the next work
    // comes within a millisecond. So threads stay awake that long.
    template <typename Waiting>
    static void spin_while(const Waiting& waiting) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(1000);
        while (waiting() && std::chrono::steady_clock::now() < end) {
            for (int i = 0; i < 8 && waiting(); i++) pause();
        }
    }
    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }

    std::vector<std::thread> helpers_;
    const std::function<void(int32_t)>* work_ = nullptr;
    int32_t count_ = 0;
    // 32 bits, the width that the kernel can wait on.
    std::atomic<int32_t> unclaimed_{0}, unfinished_{0};
};

// The pool of this process, for one caller at a time.
class ThreadPoolLock {
   public:
    explicit ThreadPoolLock(int threads) : lock_(shared().mutex) {
        auto& pool = shared().pool;
        if (!pool || pool->threads() != threads) pool = std::make_unique<ThreadPool>(threads);
    }
    ThreadPool& get() { return *shared().pool; }

   private:
    struct Shared {
        std::mutex mutex;
        std::unique_ptr<ThreadPool> pool;
    };
    static Shared& shared() {
        // Never destroyed: at the end of the process its threads may be gone already.
        static auto* const one = make_shared();
        return *one;
    }
    static Shared* make_shared() {
        // A fork waits until the pool is idle. Threads do not survive in the child, so the child abandons the pool.
        pthread_atfork([] { shared().mutex.lock(); }, [] { shared().mutex.unlock(); },
                       [] {
                           static_cast<void>(shared().pool.release());
                           shared().mutex.unlock();
                       });
        return new Shared();
    }
    std::lock_guard<std::mutex> lock_;
};

}  // namespace img2world
