/* SPDX-License-Identifier: MIT
 *
 * For a test program that is linked with --wrap=pthread_mutex_lock and
 * --wrap=pthread_mutex_unlock, and that is one file: is the library's lock held
 * by this thread?
 */

#ifndef WRAP_LOCK_H
#define WRAP_LOCK_H

#include <pthread.h>
#include <stdbool.h>

static _Thread_local bool is_locked;

int __real_pthread_mutex_lock(pthread_mutex_t* mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex);
EARLY int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex) {
  int err = __real_pthread_mutex_lock(mutex);

  is_locked = true;
  return err;
}

int __real_pthread_mutex_unlock(pthread_mutex_t* mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t* mutex);
EARLY int __wrap_pthread_mutex_unlock(pthread_mutex_t* mutex) {
  is_locked = false;
  return __real_pthread_mutex_unlock(mutex);
}

#endif /* WRAP_LOCK_H */
