// SPDX-License-Identifier: MIT
//
// The header by itself, included first and in C++, with what C++ does
// differently: structs as members, lambdas as callbacks, enums that do not
// convert, templates over the functions' types. header.sh compiles it, nothing
// runs it.

#include <uvsig.h>

#include <type_traits>

namespace {

class Signals {
 public:
  explicit Signals(uv_loop_t* loop) : sig_(), watcher_() {
    uvsig_options_t options;
    uvsig_options_init(&options);
    options.wakeup = UVSIG_WAKEUP_SOCKETPAIR;
    options.mode = UVSIG_MODE_WAKE_ONLY;
    options.warning_cb = [](uvsig_t* sig, const uvsig_warning_t* warning) {
      if (warning->kind == UVSIG_WARN_WRITE_ERROR)
        sig->data = nullptr;
    };
    error_ = uvsig_init(loop, &sig_, &options);
    sig_.data = this;
  }

  int Watch(int signum) {
    int error = uvsig_watcher_init(&sig_, &watcher_);
    if (error == 0)
      error = uvsig_watcher_set_flags(&watcher_, UVSIG_KEEP_MASK);
    if (error != 0)
      return error;
    return uvsig_watcher_start(
        &watcher_,
        [](uvsig_watcher_t* w, int, const uvsig_info_t* info) {
          if (info->flags & UVSIG_INFO_NONE)
            static_cast<Signals*>(w->sig->data)->count_ += info->count;
        },
        signum);
  }

  int Close() {
    return uvsig_close(&sig_, [](uvsig_t* sig) { sig->data = nullptr; });
  }

  bool ok() const { return error_ == 0 && count_ == 0; }

 private:
  uvsig_t sig_;
  uvsig_watcher_t watcher_;
  int error_ = 0;
  unsigned count_ = 0;
};

// A C++ program may copy and clear them as plain memory.
static_assert(std::is_standard_layout<uvsig_t>::value, "");
static_assert(std::is_standard_layout<uvsig_watcher_t>::value, "");
static_assert(std::is_trivial<uvsig_options_t>::value, "");
static_assert(std::is_trivial<uvsig_stats_t>::value, "");
static_assert(std::is_trivial<uvsig_info_t>::value, "");
static_assert(std::is_standard_layout<uvsig_itimer_t>::value, "");
static_assert(std::is_standard_layout<uvsig_wait_t>::value, "");
static_assert(std::is_trivial<uvsig_itimerval_t>::value, "");
static_assert(
    std::is_same<decltype(&uvsig_default_int_handler), uvsig_watcher_cb>::value,
    "the ready-made callback is a callback");
static_assert(UVSIG_NSIG >= 32, "");
static_assert(UVSIG_DEFAULT == 0 && UVSIG_IGNORED == 1 && UVSIG_WATCHED == 2 &&
                  UVSIG_FOREIGN == 3,
              "");

}  // namespace

int main() {
  Signals signals(uv_default_loop());
  if (!signals.ok() || signals.Watch(SIGINT) != 0 || signals.Close() != 0)
    return 1;
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
