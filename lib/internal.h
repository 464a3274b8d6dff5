/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_INTERNAL_H
#define UVSIG_INTERNAL_H

#include "disposition.h"
#include "hub.h"
#include "source.h"
#include "wakeup.h"

#endif /* UVSIG_INTERNAL_H */
