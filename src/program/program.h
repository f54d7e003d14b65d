/* SPDX-License-Identifier: MIT */
/* Programs, of objects and by themselves. */
#ifndef LBPF_PROGRAM_H
#define LBPF_PROGRAM_H

#include <stdbool.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/class.h"
#include "base/compat.h"
#include "program/kinds.h"

LBPF_HIDDEN_BEGIN

struct btf;
struct lbpf_log;

struct lbpf_program {
	struct lbpf_head head;
	struct bpf_program *prog; /* the object's; NULL once it is closed */
	const struct btf *btf;	  /* of that object, likewise */
	int fd;			  /* of one without an object, opened by pin or id or a host's; else -1 */
	bool owns_fd;
	bool alone;    /* no object's handle stands behind it */
	bool searched; /* for its attach target, before the load */
	bool targeted; /* that was found */
	uint32_t type; /* of one that is alone, the kernel's number */
	char name[64];
};

/* The descriptor, or -1 where the program isn't loaded. */
static inline int lbpf_program_descriptor(const struct lbpf_program *p)
{
	return p->prog ? bpf_program__fd(p->prog) : p->fd;
}

/* User value of a program. */
enum { LBPF_PROGRAM_OWNER = 1 };

extern const struct lbpf_class lbpf_program_class;

/* The program of an object at idx; raises when the object is closed, or the program is none of any. */
struct lbpf_program *lbpf_program_check(lua_State *L, int idx);

/* Raises when the object has been closed: by a finalizer, which any allocation may run. */
void lbpf_program_recheck(lua_State *L, const struct lbpf_program *p);

/* The program at idx, an object's or not, loaded into the kernel; raises otherwise. */
struct lbpf_program *lbpf_program_check_loaded(lua_State *L, int idx);

/* Whether it replaces a function of another program, and nobody has said which. libbpf 1.1 then looks into the kernel's
 * BTF, which it may not have read. */
bool lbpf_program_lacks_target(const struct lbpf_program *p);

/* Pushes a closed handle without an object. */
struct lbpf_program *lbpf_program_push_alone(lua_State *L);

/* Pushes the handle of a program of the object at stack index owner. */
struct lbpf_program *lbpf_program_push(lua_State *L, int owner, struct bpf_program *prog, const struct btf *btf);

/* The number of an attach type by the kernel's name in lower case; raises for an unknown one. */
uint32_t lbpf_program_attach_type(lua_State *L, const char *name);

/* The name of an attach type, or NULL. */
const char *lbpf_program_attach_type_name(uint32_t type);

#define LBPF_PROGRAM_MAPS 64 /* the kernel's MAX_USED_MAPS */

/* What the kernel knows about a program, with room for what it points to. */
struct lbpf_program_info {
	struct bpf_prog_info kernel;
	uint32_t map_ids[LBPF_PROGRAM_MAPS];
};

/* Asks the kernel. Returns 0 or an errno; calls nothing of Lua's. */
int lbpf_program_fetch_info(int fd, struct lbpf_program_info *out);

/* Pushes a table of the fields. */
void lbpf_program_push_info(lua_State *L, const struct lbpf_program_info *from);

/* nil, message, code, with libbpf's last words as the cause if it had any. */
int lbpf_program_fail(lua_State *L, const struct lbpf_program *p, int err, const char *operation, struct lbpf_log *log);

/* The same for a setting from before the load. */
int lbpf_program_fail_setting(lua_State *L, const struct lbpf_program *p, int err, const char *what);

/* Opener: adds the table `prog` to the module table at the top. */
void lbpf_program_open(lua_State *L);

LBPF_HIDDEN_END

#endif
