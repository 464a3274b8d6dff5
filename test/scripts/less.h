/* SPDX-License-Identifier: MIT
 *
 * For test/scripts/fallback.sh, which has the compiler include this first: what
 * macOS, a BSD or Android has not is taken out of this system's headers. To use
 * a function that is missing is an error.
 */

#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <uv.h>

enum { less_sigio = SIGIO }; /* which is SIGPOLL's other name on Linux */
#undef SIGIO
#define SIGIO less_sigio

#undef __linux__
#undef __linux
#undef linux
#undef F_GETPIPE_SZ
#undef F_SETPIPE_SZ
#undef MSG_CMSG_CLOEXEC
#undef MSG_NOSIGNAL
#undef RLIMIT_SIGPENDING
#undef SIGPOLL
#undef SIGPWR
#undef SIGRTMAX
#undef SIGRTMIN
#undef SIGSTKFLT
#undef SIOCOUTQ
#undef SOCK_CLOEXEC
#undef SOCK_NONBLOCK
#undef SYS_close_range
#undef SYS_gettid
#undef SYS_pidfd_send_signal
#undef SYS_rt_tgsigqueueinfo
#undef SYS_sendto

/* 32-bit Android's signal sets have no room for the realtime signals. */
#ifdef LESS_SIGRTMIN
# define SIGRTMIN LESS_SIGRTMIN
# define SIGRTMAX (LESS_SIGRTMIN + 1)
#endif

#pragma GCC poison accept4 close_range dup3 epoll_create1 epoll_ctl epoll_wait
#pragma GCC poison eventfd getcontext getrandom gettid memfd_create
#pragma GCC poison pidfd_open pidfd_send_signal pipe2 ppoll prctl
#pragma GCC poison pthread_setcancelstate pthread_setcanceltype setcontext
#pragma GCC poison signalfd sigqueue sigtimedwait sigwaitinfo syscall
#pragma GCC poison timer_create timer_delete timer_settime tgkill
