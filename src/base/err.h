/* SPDX-License-Identifier: MIT */
/* Failures that the script can't prevent: `nil, message, code`. */
#ifndef LBPF_BASE_ERR_H
#define LBPF_BASE_ERR_H

#include <lua.h>

#include "base/compat.h"
#include "base/raise.h"

LBPF_HIDDEN_BEGIN

/* Pushes nil, "<fmt…>: <cause> (CODE)" and "CODE", and returns 3. err is an errno or a libbpf error, of either sign.
 * cause is the reason in words; NULL stands for the system's text. fmt is as in lua_pushfstring. */
int lbpf_err_push(lua_State *L, int err, const char *cause, const char *fmt, ...);

/* Raises the same message as an error, for syntax that can't return a code. */
_Noreturn void lbpf_err_raise(lua_State *L, int err, const char *cause, const char *fmt, ...);

/* Pushes the symbol of an error: "EPERM", "ENOTSUPP", "LIBBPF_ERRNO__FORMAT". */
void lbpf_err_code(lua_State *L, int err);

LBPF_HIDDEN_END

#endif
