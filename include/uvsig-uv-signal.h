/* SPDX-License-Identifier: MIT
 *
 * For a program that uses uv_signal_t: its signals come through libuvsig. In
 * place of <uv.h>, or after it:
 *
 *   #include <uvsig-uv-signal.h>
 *
 * and -luvsig. Nothing else changes. Every file that starts, stops, closes or
 * asks about a uv_signal_t must include it: a handle that one file has started
 * through the library must not be closed by another through libuv.
 * uvsig_uv_signal(3) says what is different for the program.
 *
 * The functions are libuv's of the same names. They take every handle, and have
 * libuv's function do what concerns no signal. They return what libuv's return,
 * and beside that what uvsig_init() and uvsig_watcher_start() do. Context: the
 * loop's thread. Since: 0.2.
 */

#ifndef UVSIG_UV_SIGNAL_H
#define UVSIG_UV_SIGNAL_H

#include <uvsig.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Call `cb` for each `signum` that is caught from now on. A handle that is
 * started with the same signal only gets another callback, and remains one-shot
 * if it is.
 * Returns: 0
 *   UV_EINVAL  `cb` is NULL, the handle is closing, or `signum` is none that can
 *              be caught
 *   UV_EPERM   not the loop thread
 *   UV_ENOMEM, UV_EMFILE and other codes of uvsig_init() and
 *   uvsig_watcher_start()
 * After an error: a started handle goes on as it was. */
UVSIG_EXTERN int uvsig_uv_signal_start(uv_signal_t* handle,
                                       uv_signal_cb cb,
                                       int signum);

/* The same, and stop the handle after its first callback. */
UVSIG_EXTERN int uvsig_uv_signal_start_oneshot(uv_signal_t* handle,
                                               uv_signal_cb cb,
                                               int signum);

/* Returns: 0, also for a handle that is not started
 *   UV_EPERM  not the loop thread; the handle goes on */
UVSIG_EXTERN int uvsig_uv_signal_stop(uv_signal_t* handle);

/* In another thread than the loop's it does nothing to a handle that has been
 * started. */
UVSIG_EXTERN void uvsig_uv_close(uv_handle_t* handle, uv_close_cb cb);

UVSIG_EXTERN int uvsig_uv_is_active(const uv_handle_t* handle);
UVSIG_EXTERN void uvsig_uv_ref(uv_handle_t* handle);
UVSIG_EXTERN void uvsig_uv_unref(uv_handle_t* handle);

/* Leaves out the handles that the library has made for the loop's
 * uv_signal_t. */
UVSIG_EXTERN void uvsig_uv_walk(uv_loop_t* loop, uv_walk_cb cb, void* arg);

/* uv_loop_fork(), and uvsig_fork() for the loop's uv_signal_t. */
UVSIG_EXTERN int uvsig_uv_loop_fork(uv_loop_t* loop);

#ifdef __cplusplus
}
#endif

/* To call both libraries in one file, define it. */
#ifndef UVSIG_UV_SIGNAL_NO_MACROS
# define uv_signal_start uvsig_uv_signal_start
# define uv_signal_start_oneshot uvsig_uv_signal_start_oneshot
# define uv_signal_stop uvsig_uv_signal_stop
# define uv_close uvsig_uv_close
# define uv_is_active uvsig_uv_is_active
# define uv_ref uvsig_uv_ref
# define uv_unref uvsig_uv_unref
# define uv_walk uvsig_uv_walk
# define uv_loop_fork uvsig_uv_loop_fork
#endif

#endif /* UVSIG_UV_SIGNAL_H */
