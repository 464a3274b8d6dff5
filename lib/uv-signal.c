/* SPDX-License-Identifier: MIT
 *
 * uv_signal_t on the library. A handle stays libuv's, which initialises and
 * closes it, but libuv never starts it: a record here has the watcher in its
 * place, and is found by the handle's address. Runs in the loop's thread; the
 * lists of all loops are under the lock.
 */

#define UVSIG_UV_SIGNAL_NO_MACROS
#include "base.h"
#include "uvsig-uv-signal.h"

#include <stdlib.h>

/* Of a list, found by an address. */
struct entry {
  const void* key;
  struct entry* next;
};

/* The uvsig_t of a loop's handles, from the first start until the last of them
 * closes. It is listed until libuv has finished with its handles, behind the one
 * that a new start may open before. */
struct signals {
  struct entry entry; /* the loop's */
  uvsig_t sig;
  unsigned users; /* records */
  bool is_closing;
};

/* A handle that has been started at least once, until its close callback. */
struct record {
  struct entry entry; /* the handle's */
  uv_signal_t* handle;
  uvsig_watcher_t watcher;
  struct signals* signals;
  unsigned long stops;
  bool is_oneshot;
  uv_close_cb close_cb;
};

/* Under uvsig__lock(). */
static struct entry* all_signals;
static struct entry* all_records;

/* --- The lists ------------------------------------------------------------ */

static struct entry* find(struct entry* const* list, const void* key) {
  struct entry* entry;

  uvsig__lock();
  for (entry = *list; entry != NULL && entry->key != key;)
    entry = entry->next;
  uvsig__unlock();
  return entry;
}

static void enlist(struct entry** list, struct entry* entry, const void* key) {
  uvsig__lock();
  entry->key = key;
  entry->next = *list;
  *list = entry;
  uvsig__unlock();
}

static void delist(struct entry** list, const struct entry* entry) {
  struct entry** link;

  uvsig__lock();
  for (link = list; *link != entry;)
    link = &(*link)->next;
  *link = entry->next;
  uvsig__unlock();
}

/* The entry is the first member. */
static struct signals* find_signals(const uv_loop_t* loop) {
  struct signals* signals = (struct signals*) find(&all_signals, loop);

  return signals == NULL || signals->is_closing ? NULL : signals;
}

static struct record* find_record(const uv_handle_t* handle) {
  return handle->type == UV_SIGNAL ? (struct record*) find(&all_records, handle)
                                   : NULL;
}

/* --- Their lives ---------------------------------------------------------- */

static int open_signals(uv_loop_t* loop, struct signals** opened) {
  struct signals* signals = calloc(1, sizeof(*signals));
  int err;

  if (signals == NULL)
    return UV_ENOMEM;
  err = uvsig_init(loop, &signals->sig, NULL);
  if (err != 0) {
    free(signals);
    return err;
  }
  enlist(&all_signals, &signals->entry, loop);
  *opened = signals;
  return 0;
}

static void on_signals_closed(uvsig_t* sig) {
  struct signals* signals =
      (struct signals*) ((char*) sig - offsetof(struct signals, sig));

  delist(&all_signals, &signals->entry);
  free(signals);
}

/* One record less. With the last one its handles are closed in the same turn of
 * the loop as the program's, which may call uv_loop_close() next. If the program
 * still has a coordinator there, it stays open for the next start. */
static void leave_signals(struct signals* signals) {
  signals->users--;
  signals->is_closing =
      signals->users == 0 && uvsig_close(&signals->sig, on_signals_closed) == 0;
}

static int open_record(uv_signal_t* handle, struct record** opened) {
  struct signals* signals = find_signals(handle->loop);
  struct record* record = calloc(1, sizeof(*record));
  int err = 0;

  if (record == NULL)
    return UV_ENOMEM;
  if (signals == NULL)
    err = open_signals(handle->loop, &signals);
  if (err == 0) {
    signals->users++;
    err = uvsig_watcher_init(&signals->sig, &record->watcher);
    if (err != 0)
      leave_signals(signals);
  }
  if (err != 0) {
    free(record);
    return err;
  }
  record->handle = handle;
  record->signals = signals;
  record->watcher.data = record;
  enlist(&all_records, &record->entry, handle);
  *opened = record;
  return 0;
}

static void close_record(struct record* record) {
  leave_signals(record->signals);
  delist(&all_records, &record->entry);
  free(record);
}

/* --- Start and stop ------------------------------------------------------- */

static int stop(struct record* record) {
  int err;

  if (!uvsig_watcher_is_active(&record->watcher))
    return 0;
  err = uvsig_watcher_stop(&record->watcher);
  if (err == 0) {
    record->handle->signum = 0;
    record->stops++;
  }
  return err;
}

/* A record is freed by the loop, not by the callback. So it can be asked
 * whether the callback has stopped or closed the handle. libuv stops a one-shot
 * handle after its callback, not before. */
static void on_caught(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  struct record* record = w->data;
  unsigned long stops = record->stops;
  unsigned left;

  for (left = info->count; left > 0 && record->stops == stops; left--) {
    record->handle->signal_cb(record->handle, signum);
    if (record->stops == stops && record->is_oneshot)
      (void) stop(record); /* this is the loop thread */
  }
}

static void set_ref(struct record* record) {
  if (uv_has_ref((const uv_handle_t*) record->handle))
    uvsig_watcher_ref(&record->watcher);
  else
    uvsig_watcher_unref(&record->watcher);
}

static int start(uv_signal_t* handle,
                 uv_signal_cb cb,
                 int signum,
                 bool is_oneshot) {
  struct record* record;
  bool is_new;
  int err = 0;

  if (cb == NULL || uv_is_closing((const uv_handle_t*) handle))
    return UV_EINVAL;
  record = find_record((const uv_handle_t*) handle);
  is_new = record == NULL;
  if (is_new)
    err = open_record(handle, &record);
  if (err != 0)
    return err;
  if (record->watcher.signum != signum || signum == 0) {
    err = uvsig_watcher_start(&record->watcher, on_caught, signum);
    if (err != 0) {
      if (is_new)
        close_record(record);
      return err;
    }
    record->stops++;
    record->is_oneshot = is_oneshot;
    handle->signum = signum;
    set_ref(record);
  }
  handle->signal_cb = cb;
  return 0;
}

int uvsig_uv_signal_start(uv_signal_t* handle, uv_signal_cb cb, int signum) {
  return start(handle, cb, signum, false);
}

int uvsig_uv_signal_start_oneshot(uv_signal_t* handle,
                                  uv_signal_cb cb,
                                  int signum) {
  return start(handle, cb, signum, true);
}

int uvsig_uv_signal_stop(uv_signal_t* handle) {
  struct record* record = find_record((const uv_handle_t*) handle);

  return record == NULL ? 0 : stop(record);
}

/* --- What every handle has ------------------------------------------------ */

static void on_handle_closed(uv_handle_t* handle) {
  struct record* record = find_record(handle);
  uv_close_cb close_cb = record->close_cb;

  delist(&all_records, &record->entry);
  free(record);
  if (close_cb != NULL)
    close_cb(handle);
}

void uvsig_uv_close(uv_handle_t* handle, uv_close_cb cb) {
  struct record* record = find_record(handle);

  if (record == NULL) {
    uv_close(handle, cb);
    return;
  }
  if (stop(record) != 0)
    return;
  record->close_cb = cb;
  leave_signals(record->signals);
  uv_close(handle, on_handle_closed);
}

int uvsig_uv_is_active(const uv_handle_t* handle) {
  const struct record* record = find_record(handle);

  return record == NULL ? uv_is_active(handle)
                        : uvsig_watcher_is_active(&record->watcher);
}

void uvsig_uv_ref(uv_handle_t* handle) {
  struct record* record = find_record(handle);

  uv_ref(handle);
  if (record != NULL)
    set_ref(record);
}

void uvsig_uv_unref(uv_handle_t* handle) {
  struct record* record = find_record(handle);

  uv_unref(handle);
  if (record != NULL)
    set_ref(record);
}

/* --- What a loop has ------------------------------------------------------ */

struct walk {
  uv_walk_cb cb;
  void* arg;
};

/* Those of its loop alone: others are another thread's. */
static bool is_ours(const uv_handle_t* handle) {
  struct entry* entry;
  bool is = false;

  uvsig__lock();
  for (entry = all_signals; entry != NULL && !is; entry = entry->next)
    is = entry->key == handle->loop &&
         uvsig_has_handle(&((struct signals*) entry)->sig, handle);
  uvsig__unlock();
  return is;
}

static void on_walk(uv_handle_t* handle, void* arg) {
  const struct walk* walk = arg;

  if (!is_ours(handle))
    walk->cb(handle, walk->arg);
}

void uvsig_uv_walk(uv_loop_t* loop, uv_walk_cb cb, void* arg) {
  struct walk walk = {cb, arg};

  uv_walk(loop, on_walk, &walk);
}

int uvsig_uv_loop_fork(uv_loop_t* loop) {
  struct signals* signals = find_signals(loop);
  int err = uv_loop_fork(loop);

  return err != 0 || signals == NULL ? err : uvsig_fork(&signals->sig);
}
