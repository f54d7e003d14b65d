/* SPDX-License-Identifier: MIT */
/* Program handles: programs of objects, and programs that were opened without an object. */
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
	/* libbpf's program, which belongs to the object; NULL once that is closed. */
	struct bpf_program *prog;
	const struct btf *btf; /* the object's BTF; NULL likewise */
	/* Of a program without an object, which was opened by pin or id, or is a host's; otherwise -1. */
	int fd;
	bool owns_fd;
	bool alone;    /* no handle of an object belongs to it */
	bool owns;     /* closing it closes its object */
	bool searched; /* its attach target has been searched for, before the load */
	bool targeted; /* the attach target was found */
	uint32_t type; /* of a program without an object: the kernel's number of its type */
	char name[64];
};

/* The descriptor, or -1 if the program isn't loaded. */
static inline int lbpf_program_descriptor(const struct lbpf_program *p)
{
	return p->prog ? bpf_program__fd(p->prog) : p->fd;
}

/* User value of a program. */
enum { LBPF_PROGRAM_OWNER = 1 };

extern const struct lbpf_class lbpf_program_class;

/* Returns the program at idx, which must belong to an object. Raises if the object is closed, or there is no object. */
struct lbpf_program *lbpf_program_check(lua_State *L, int idx);

/* Raises if the object has been closed meanwhile, by a finalizer, which any allocation may run. */
void lbpf_program_recheck(lua_State *L, const struct lbpf_program *p);

/* Returns the program at idx, with or without an object, which must be loaded into the kernel. Raises otherwise. */
struct lbpf_program *lbpf_program_check_loaded(lua_State *L, int idx);

/* Whether the program replaces a function of another program (freplace), and that program has not been set. libbpf 1.1
 * then searches the kernel's BTF, which it may not have read. */
bool lbpf_program_lacks_target(const struct lbpf_program *p);

/* Pushes a closed handle without an object. */
struct lbpf_program *lbpf_program_push_alone(lua_State *L);

/* Pushes the handle of a program of the object at stack index owner. */
struct lbpf_program *lbpf_program_push(lua_State *L, int owner, struct bpf_program *prog, const struct btf *btf);

/* The number of the attach type with this name, which is the kernel's in lower case. Raises for an unknown name. */
uint32_t lbpf_program_attach_type(lua_State *L, const char *name);

/* The name of an attach type, or NULL. */
const char *lbpf_program_attach_type_name(uint32_t type);

#define LBPF_PROGRAM_MAPS 64 /* the kernel's MAX_USED_MAPS */

/* The kernel's information about a program, with room for the ids of its maps. */
struct lbpf_program_info {
	struct bpf_prog_info kernel;
	uint32_t map_ids[LBPF_PROGRAM_MAPS];
};

/* Asks the kernel. Returns 0 or an errno. Calls no Lua function. */
int lbpf_program_fetch_info(int fd, struct lbpf_program_info *out);

/* Pushes a table of the fields. */
void lbpf_program_push_info(lua_State *L, const struct lbpf_program_info *from);

/* Pushes nil, message and code. The cause is libbpf's last message that says why, if there is one. */
int lbpf_program_fail(lua_State *L, const struct lbpf_program *p, int err, const char *operation, struct lbpf_log *log);

/* Like lbpf_program_fail, for a setting that must be changed before the load. */
int lbpf_program_fail_setting(lua_State *L, const struct lbpf_program *p, int err, const char *what);

/* Opener: adds the table `prog` to the module table at the top. */
LBPF_OPENER lbpf_program_open(lua_State *L);

LBPF_HIDDEN_END

#endif
