/* SPDX-License-Identifier: MIT */
/* Failures as scripts see them: `nil, message, code`. */
#ifndef LBPF_BASE_ERR_H
#define LBPF_BASE_ERR_H

#include <lua.h>

#include "base/compat.h"
#include "base/raise.h"

LBPF_HIDDEN_BEGIN

/* Pushes nil, "<fmt…>: <cause> (CODE)", "CODE" and returns 3. err is an errno or a libbpf error, of either sign.
 * cause says in words why; NULL takes the system's text. fmt is lua_pushfstring's. */
int lbpf_err_push(lua_State *L, int err, const char *cause, const char *fmt, ...);

/* Raises the same message, for syntax that has no room for a code. */
_Noreturn void lbpf_err_raise(lua_State *L, int err, const char *cause, const char *fmt, ...);

/* Pushes the symbol of an error: "EPERM", "ENOTSUPP", "LIBBPF_ERRNO__FORMAT". */
void lbpf_err_code(lua_State *L, int err);

LBPF_HIDDEN_END

#endif
