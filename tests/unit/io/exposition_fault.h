/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the text of a metrics endpoint as strictly as its reader may: Prometheus text format 0.0.4, and what its makers
 * ask of names beyond that. */
#ifndef TESTS_IO_EXPOSITION_FAULT_H
#define TESTS_IO_EXPOSITION_FAULT_H

#include <stddef.h>

enum { EXPOSITION_FAULT_BYTES = 256 };

/* NULL: nothing is wrong. Otherwise the first fault, in `out`. */
const char *exposition_fault(const char *text, char out[EXPOSITION_FAULT_BYTES]);

#endif
