// Runs independent pieces of work on threads. The pieces must not depend on which thread runs them.
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

#include <unistd.h>

namespace img2world {

// Threads that live as long as this object. Starting a thread costs more than many pieces of our work.
class Team {
   public:
    explicit Team(int threads) {
        for (int i = 1; i < threads; i++) helpers_.emplace_back([this] { help(); });
    }
    ~Team() {
        work_ = nullptr;
        announce();
        for (auto& helper : helpers_) helper.join();
    }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int threads() const { return static_cast<int>(helpers_.size()) + 1; }

    // Calls work(i) for i in [0, count), in any order, and returns when all are done.
    template <typename Work>
    void run(int64_t count, const Work& work) {
        if (helpers_.empty() || count < 2) {
            for (int64_t i = 0; i < count; i++) work(i);
            return;
        }
        const std::function<void(int64_t)> piece = std::cref(work);
        work_ = &piece;
        count_ = count;
        next_ = 0;
        busy_ = static_cast<int>(helpers_.size());
        announce();
        drain();
        spin_while([&] { return busy_ > 0; });
        for (int busy = busy_; busy > 0; busy = busy_) busy_.wait(busy);
    }

    // Calls work(begin, end) for pieces of [0, count) of at most `size`.
    template <typename Work>
    void run_ranges(int64_t count, int64_t size, const Work& work) {
        run((count + size - 1) / size, [&](int64_t i) { work(i * size, std::min(count, (i + 1) * size)); });
    }

   private:
    void announce() {
        round_++;
        round_.notify_all();
    }
    void drain() {
        for (int64_t i = next_++; i < count_; i = next_++) (*work_)(i);
    }
    void help() {
        for (uint32_t seen = 0;; seen++) {
            spin_while([&] { return round_ == seen; });
            round_.wait(seen);
            if (work_ == nullptr) return;
            drain();
            if (--busy_ == 0) busy_.notify_one();
        }
    }

    // To be woken can take longer than the work itself, above all in a virtual machine, and in a training the next work
    // comes within a millisecond. So threads that wait stay awake that long.
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
    const std::function<void(int64_t)>* work_ = nullptr;
    int64_t count_ = 0;
    std::atomic<int64_t> next_{0};
    std::atomic<int> busy_{0};
    std::atomic<uint32_t> round_{0};
};

// The team of this process, for one caller at a time. It is kept: to start threads takes as long as much of our work.
class TeamLock {
   public:
    explicit TeamLock(int threads) : lock_(mutex()) {
        // Threads do not survive a fork, so the child needs new ones; the old team can only be left behind.
        if (owner() != getpid()) {
            static_cast<void>(kept().release());
            owner() = getpid();
        }
        if (!kept() || kept()->threads() != threads) kept() = std::make_unique<Team>(threads);
    }
    Team& get() { return *kept(); }

   private:
    static std::mutex& mutex() {
        static std::mutex one;
        return one;
    }
    static std::unique_ptr<Team>& kept() {
        // Never destroyed: at the end of the process its threads may be gone already.
        static auto* one = new std::unique_ptr<Team>();
        return *one;
    }
    static pid_t& owner() {
        static pid_t one = getpid();
        return one;
    }
    std::lock_guard<std::mutex> lock_;
};

}  // namespace img2world
