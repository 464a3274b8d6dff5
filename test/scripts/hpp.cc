// SPDX-License-Identifier: MIT
//
// uvsig.hpp: each test in a child of its own, which fails by its status. hpp.sh
// compiles and runs it; the output is TAP.

#include <uvsig.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
      std::exit(1);                                                            \
    }                                                                          \
  } while (0)

using std::chrono::milliseconds;

namespace {

// A loop that must be empty, and closes, in the end.
struct loop {
  loop() { CHECK(uv_loop_init(&uv) == 0); }
  ~loop() {
    CHECK(uv_run(&uv, UV_RUN_DEFAULT) == 0);
    CHECK(uv_loop_close(&uv) == 0);
  }
  uv_loop_t uv;
};

template <class F>
int code_of(F f) {
  try {
    f();
  } catch (const uvsig::error& e) {
    CHECK(std::strcmp(e.what(), uv_strerror(e.code)) == 0);
    return e.code;
  }
  return 0;
}

void a_watcher_calls_a_lambda_and_stops_at_its_end() {
  loop l;
  uvsig::signals signals(&l.uv);
  int calls = 0;
  {
    uvsig::watcher w(signals, SIGUSR1, [&](const uvsig_info_t& info) {
      CHECK(info.signum == SIGUSR1 && info.pid == getpid());
      calls++;
      uv_stop(&l.uv);
    });
    raise(SIGUSR1);
    uv_run(&l.uv, UV_RUN_DEFAULT);
    CHECK(calls == 1);
    CHECK(uvsig_watcher_is_active(w.get()));
  }
  CHECK(uvsig_getsignal(SIGUSR1) == UVSIG_DEFAULT);
}

void a_callback_may_end_its_watcher() {
  loop l;
  uvsig::signals signals(&l.uv);
  std::unique_ptr<uvsig::watcher> w;
  auto sentinel = std::make_shared<int>(0);
  w = std::make_unique<uvsig::watcher>(
      signals, SIGUSR1, [&w, sentinel](const uvsig_info_t&) {
        w.reset();
        ++*sentinel; // what was captured is still there
      });
  raise(SIGUSR1);
  raise(SIGUSR1);
  uv_run(&l.uv, UV_RUN_DEFAULT);
  CHECK(*sentinel == 1 && sentinel.use_count() == 1);
}

void flags_are_the_watchers() {
  loop l;
  uvsig::signals signals(&l.uv);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  uvsig::watcher w(
      signals, SIGUSR1, [](const uvsig_info_t&) {}, UVSIG_KEEP_MASK);
  pthread_sigmask(SIG_SETMASK, nullptr, &set);
  CHECK(sigismember(&set, SIGUSR1) == 1);
}

void a_constructor_that_fails_throws_the_code() {
  loop l;
  auto nothing = [](const uvsig_info_t&) {};
  CHECK(code_of([] { uvsig::signals none(nullptr); }) == UV_EINVAL);
  uvsig::signals signals(&l.uv);
  CHECK(code_of([&] { uvsig::watcher w(signals, SIGKILL, nothing); }) ==
        UV_EINVAL);
  CHECK(code_of([&] { uvsig::watcher w(signals, SIGUSR1, nothing, 1u << 30); }) ==
        UV_EINVAL);
  CHECK(code_of([&] { uvsig::watcher w(signals, SIGUSR1, nullptr); }) ==
        UV_EINVAL);
  CHECK(uvsig_getsignal(SIGUSR1) == UVSIG_DEFAULT);
  uvsig::shutdown_options options;
  options.grace = milliseconds(-1);
  CHECK(code_of([&] { uvsig::shutdown s(signals, options); }) == UV_EINVAL);
  options.grace = std::chrono::hours(1000);
  CHECK(code_of([&] { uvsig::shutdown s(signals, options); }) == UV_EINVAL);
  uvsig::shutdown first(signals);
  CHECK(code_of([&] { uvsig::shutdown second(signals); }) < 0);
  CHECK(code_of([] { uvsig::run_until_stopped(nullptr); }) == UV_EINVAL);
}

void a_shutdown_goes_through_its_phases_and_exits() {
  loop l;
  uvsig::signals signals(&l.uv);
  uvsig::shutdown_options options;
  int phases = 0;
  options.grace = milliseconds(3600000);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.on_phase = [&](uvsig_shutdown_phase_t) { phases++; };
  uvsig::shutdown shutdown(signals, std::move(options));
  raise(SIGTERM);
  uv_run(&l.uv, UV_RUN_DEFAULT);
  CHECK(phases > 1);
  CHECK(uvsig_shutdown_phase(shutdown.get()) == UVSIG_SHUTDOWN_DONE);
  CHECK(shutdown.report().signum == SIGTERM);
  CHECK(shutdown.exit() == 0);
}

void a_shutdown_that_never_began_is_given_up() {
  loop l;
  uvsig::signals signals(&l.uv);
  { uvsig::shutdown shutdown(signals); }
  CHECK(uvsig_getsignal(SIGTERM) == UVSIG_DEFAULT);
}

// A shutdown that has been asked for, and whether what its callback has captured
// is still there.
struct ending {
  template <class F>
  explicit ending(F on_phase) {
    auto sentinel = std::make_shared<int>(0);
    captured = sentinel;
    uvsig::shutdown_options options;
    options.on_phase = [on_phase, sentinel](uvsig_shutdown_phase_t phase) {
      on_phase(phase);
    };
    shutdown = std::make_unique<uvsig::shutdown>(signals, std::move(options));
    CHECK(uvsig_shutdown_request(
              shutdown->get(), nullptr, UVSIG_SHUTDOWN_GRACEFUL) == 0);
  }
  loop l;
  uvsig::signals signals{&l.uv};
  std::unique_ptr<uvsig::shutdown> shutdown;
  std::weak_ptr<int> captured;
};

void a_phase_callback_may_end_its_shutdown() {
  for (int at = UVSIG_SHUTDOWN_NOT_READY; at <= UVSIG_SHUTDOWN_DONE; at++) {
    bool is_there = false;
    ending e([&, at](uvsig_shutdown_phase_t phase) {
      if (phase != at)
        return;
      e.shutdown.reset();
      is_there = !e.captured.expired();
    });
    uv_run(&e.l.uv, UV_RUN_DEFAULT);
    is_there = is_there || at != UVSIG_SHUTDOWN_DONE;
    CHECK(is_there);
    e.shutdown.reset();
    uv_run(&e.l.uv, UV_RUN_DEFAULT);
    CHECK(e.captured.expired());
  }
}

// The library closes its handles in two turns of the loop, and then makes the
// last call.
void a_shutdown_may_end_before_its_last_phase_callback() {
  bool is_told = false;
  ending e([&is_told](uvsig_shutdown_phase_t phase) {
    is_told = is_told || phase == UVSIG_SHUTDOWN_DONE;
  });
  while (uvsig_shutdown_phase(e.shutdown->get()) != UVSIG_SHUTDOWN_DONE)
    uv_run(&e.l.uv, UV_RUN_NOWAIT);
  CHECK(!is_told);
  e.shutdown.reset();
  uv_run(&e.l.uv, UV_RUN_DEFAULT);
  CHECK(!is_told && e.captured.expired());
}

void times_are_the_librarys_milliseconds() {
#if __cplusplus >= 202002L
  using namespace std::chrono_literals;
  loop l;
  uvsig::signals signals(&l.uv);
  uvsig::shutdown shutdown(signals, {.delay = 1h, .hard = 2s});
  CHECK(uvsig_shutdown_request(
            shutdown.get(), nullptr, UVSIG_SHUTDOWN_GRACEFUL) == 0);
  uv_run(&l.uv, UV_RUN_NOWAIT);
  uv_run(&l.uv, UV_RUN_NOWAIT);
  CHECK(uvsig_shutdown_phase(shutdown.get()) == UVSIG_SHUTDOWN_NOT_READY);
#endif
}

void a_run_ends_by_a_signal() {
  loop l;
  uvsig_info_t info;
  raise(SIGWINCH); // nobody watches it
  CHECK(uvsig::run_until_stopped(&l.uv) == 0);
  uv_async_t work;
  uv_async_init(&l.uv, &work, [](uv_async_t*) { raise(SIGTERM); });
  uv_async_send(&work);
  CHECK(uvsig::run_until_stopped(&l.uv, &info) == SIGTERM);
  CHECK(info.pid == getpid());
  uv_close(reinterpret_cast<uv_handle_t*>(&work), nullptr);
}

void a_uvsig_that_was_closed_in_c_is_let_go() {
  loop l;
  uvsig::signals signals(&l.uv);
  CHECK(uvsig_close(signals.get(), nullptr) == 0);
  uv_run(&l.uv, UV_RUN_DEFAULT);
}

template <class T>
constexpr bool stays = !std::is_copy_constructible_v<T> &&
                       !std::is_move_constructible_v<T> &&
                       !std::is_copy_assignable_v<T>;
static_assert(stays<uvsig::signals>);
static_assert(stays<uvsig::watcher>);
static_assert(stays<uvsig::shutdown>);

int count;
int failed;

void run(const char* name, void (*test)()) {
  std::fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    test();
    std::exit(0);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  failed += status != 0;
  std::printf("%s %d - %s\n", status == 0 ? "ok" : "not ok", ++count, name);
}

} // namespace

#define RUN(test) run(#test, test)

int main() {
  RUN(a_watcher_calls_a_lambda_and_stops_at_its_end);
  RUN(a_callback_may_end_its_watcher);
  RUN(flags_are_the_watchers);
  RUN(a_constructor_that_fails_throws_the_code);
  RUN(a_shutdown_goes_through_its_phases_and_exits);
  RUN(a_shutdown_that_never_began_is_given_up);
  RUN(a_phase_callback_may_end_its_shutdown);
  RUN(a_shutdown_may_end_before_its_last_phase_callback);
  RUN(times_are_the_librarys_milliseconds);
  RUN(a_run_ends_by_a_signal);
  RUN(a_uvsig_that_was_closed_in_c_is_let_go);
  return failed != 0;
}
