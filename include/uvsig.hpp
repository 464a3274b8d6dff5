// SPDX-License-Identifier: MIT
//
// libuvsig for C++17: what uvsig.h has, as objects that stop what they started.
//
//   uvsig::signals signals(uv_default_loop());
//   uvsig::shutdown shutdown(signals, {.grace = 5s}); // C++20, or by field
//   uvsig::watcher reopen(signals, SIGHUP, [](const uvsig_info_t&) { ... });
//   uv_run(uv_default_loop(), UV_RUN_DEFAULT);
//   return shutdown.exit();
//
// An object is neither copied nor moved, and ends before what it is made with,
// in the loop's thread. A constructor that throws uvsig::error has changed
// nothing. A callback that throws ends the process. A destructor closes
// handles: run the loop once more. Not "using namespace": see shutdown(2).

#ifndef UVSIG_HPP
#define UVSIG_HPP

#include <uvsig.h>

#include <chrono>
#include <climits>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace uvsig {

// Why there is no object: a negative libuv code, UV_E*, in `code`.
struct error : std::runtime_error {
  explicit error(int c) : std::runtime_error(uv_strerror(c)), code(c) {}
  int code;
};

inline int check(int code) { return code < 0 ? throw error(code) : code; }

struct fixed { // neither copied nor moved
  fixed() = default;
  fixed(fixed&&) = delete;
};

// uvsig_init() to uvsig_close(). On the heap: the loop needs it for longer.
class signals : fixed {
 public:
  explicit signals(uv_loop_t* loop, const uvsig_options_t* options = nullptr)
      : sig_(std::make_unique<uvsig_t>()) {
    check(uvsig_init(loop, sig_.get(), options));
  }
  ~signals() {
    // UV_EINVAL: uvsig_close() has ended before, so the memory is freed here.
    if (uvsig_close(sig_.get(), [](uvsig_t* s) { delete s; }) != UV_EINVAL)
      (void) sig_.release();
  }
  uvsig_t* get() const { return sig_.get(); }

 private:
  std::unique_ptr<uvsig_t> sig_;
};

// uvsig_watcher_start() to uvsig_watcher_stop(). The callback may end it.
class watcher : fixed {
 public:
  using callback = std::function<void(const uvsig_info_t&)>;

  watcher(const signals& of, int signum, callback cb, unsigned flags = 0)
      : cb_(std::make_shared<callback>(std::move(cb))) {
    check(*cb_ ? uvsig_watcher_init(of.get(), &watcher_) : UV_EINVAL);
    watcher_.data = this;
    check(uvsig_watcher_set_flags(&watcher_, flags));
    check(uvsig_watcher_start(&watcher_, call, signum));
  }
  ~watcher() { uvsig_watcher_stop(&watcher_); }
  uvsig_watcher_t* get() { return &watcher_; }

 private:
  static void call(uvsig_watcher_t* w, int, const uvsig_info_t* i) noexcept {
    auto cb = static_cast<watcher*>(w->data)->cb_;
    (*cb)(*i);
  }
  std::shared_ptr<callback> cb_;
  uvsig_watcher_t watcher_ = {};
};

struct shutdown_options { // what is not set has the library's default
  using time = std::optional<std::chrono::milliseconds>;
  time delay = {}, grace = {}, hard = {}, total = {};
  std::optional<uvsig_shutdown_idle_t> idle = {};
  std::optional<uvsig_shutdown_exit_t> exit = {};
  std::function<void(uvsig_shutdown_phase_t)> on_phase = {};
};

// uvsig_shutdown_init() to uvsig_shutdown_close(). The callback may end it.
class shutdown : fixed {
 public:
  explicit shutdown(const signals& of, shutdown_options o = {})
      : body_(std::make_unique<body>()) {
    uvsig_shutdown_options_t options;
    uvsig_shutdown_options_init(&options);
    set(options.delay_ms, o.delay), set(options.grace_ms, o.grace);
    set(options.hard_ms, o.hard), set(options.total_ms, o.total);
    options.idle = o.idle.value_or(options.idle);
    options.exit = o.exit.value_or(options.exit);
    options.keep_sig = 1; // `of` closes it
    options.phase_cb = on_phase;
    body_->cb = std::make_shared<decltype(o.on_phase)>(std::move(o.on_phase));
    body_->sd.data = body_.get();
    check(uvsig_shutdown_init(of.get(), &body_->sd, &options));
  }
  ~shutdown() {
    bool has_cb = uvsig_shutdown_phase(get()) != UVSIG_SHUTDOWN_DONE;
    int code = uvsig_shutdown_close(get(), on_closed);
    if (code == UV_EALREADY) // the last phase's callback is yet to come
      *body_->cb = [sd = get()](auto) { on_closed(sd); };
    if (code == UV_EALREADY || (code != UV_EINVAL && has_cb))
      (void) body_.release();
  }
  int exit() { return uvsig_shutdown_exit(get()); }
  const uvsig_shutdown_report_t& report() const { return body_->sd.report; }
  uvsig_shutdown_t* get() const { return &body_->sd; }

 private:
  struct body {
    uvsig_shutdown_t sd = {};
    std::shared_ptr<decltype(shutdown_options::on_phase)> cb;
  };
  static void on_phase(uvsig_shutdown_t* s, uvsig_shutdown_phase_t p) noexcept {
    if (auto cb = static_cast<body*>(s->data)->cb; *cb)
      (*cb)(p);
  }
  static void on_closed(uvsig_shutdown_t* sd) {
    uvsig_shutdown_close(sd, nullptr); // from the last phase's callback
    delete static_cast<body*>(sd->data);
  }
  static void set(unsigned& to, shutdown_options::time from) {
    auto n = from ? from->count() : to;
    to = unsigned(check(n < 0 || n > INT_MAX ? UV_EINVAL : int(n)));
  }
  std::unique_ptr<body> body_;
};

// uvsig_run(): SIGINT or SIGTERM, or 0 where nothing is left to do.
inline int run_until_stopped(uv_loop_t* loop, uvsig_info_t* info = nullptr) {
  return check(uvsig_run(loop, nullptr, info));
}

} // namespace uvsig

#endif // UVSIG_HPP
