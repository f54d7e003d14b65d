/* SPDX-License-Identifier: MIT */
/* lua-bpf for C and C++ hosts: opens the library in a Lua state, makes Lua handles of the host's maps, objects,
 * programs and links, gets them back, and turns single values from bytes to Lua and back. docs/guide.md, "Embedding",
 * shows it at work; examples/embed is a whole host.
 *
 * What holds for every function:
 *
 * - lbpf_open comes first, in each state. The others refuse a state without it, or with another copy of the library.
 * - Those that return an int to say how it went run in protected mode: they never raise an error, and never call the
 *   state's panic function, even when there is no memory. They return 0 and push what is asked for, or return a
 * negative errno and push a message, a string that says what failed and why. -EINVAL is misuse, -ENOMEM may be Lua's
 * own memory, the others are what the kernel or libbpf said.
 * - Those named lbpf_check_… raise errors as luaL_check… do, for use in C functions that Lua calls.
 * - As with Lua's own functions, there must be room on the stack, 12 free slots. A new state has them, and so has a
 *   C function that Lua has just called; lua_checkstack makes more.
 * - LBPF_BORROW leaves the host what it pushes. It has to keep it open until the handle is closed (lbpf_close), the
 *   state is closed, or, for a descriptor, no script uses the handle any more. Neither closes anything of the host's.
 *   LBPF_OWN gives it to the handle, which closes it when it is closed or collected, at the latest with the state. The
 *   host gives nothing away unless the call returns 0: after a failure it owns what it owned before.
 * - One state belongs to one thread at a time. Different states may be used by different threads at once, and may share
 *   maps, programs and objects; an object must not be loaded or closed by one while others use it.
 *
 * The library writes to no stream and changes no signal, locale or limit of the process. Two things that libbpf has
 * once for the whole process remain. Its print callback: lbpf_open puts one in front of the callback of that time,
 * which keeps what is printed for a call of this library and passes on everything else; a host with a callback of its
 * own sets it before. And on kernels before 5.11, libbpf raises RLIMIT_MEMLOCK when it first creates a map or program,
 * whoever asks for that. It does so once: a host that wants another limit calls libbpf_set_memlock_rlim before, which
 * the shared libbpf 1.1 doesn't export, or has libbpf raise it (bpf_map_create with any arguments does) and sets its
 * own after. */
#ifndef LBPF_H
#define LBPF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include <lua.h>

/* The one place that holds the version. */
#define LBPF_VERSION_MAJOR 0
#define LBPF_VERSION_MINOR 1
#define LBPF_VERSION_PATCH 0

/* "0.1.0", and a number that grows: 100 for 0.1.0, 10203 for 1.2.3. */
#define LBPF_VERSION LBPF_DOTTED_(LBPF_VERSION_MAJOR, LBPF_VERSION_MINOR, LBPF_VERSION_PATCH)
#define LBPF_VERSION_NUM (LBPF_VERSION_MAJOR * 10000 + LBPF_VERSION_MINOR * 100 + LBPF_VERSION_PATCH)
#define LBPF_DOTTED_(major, minor, patch) LBPF_JOIN_(major, minor, patch)
#define LBPF_JOIN_(major, minor, patch) #major "." #minor "." #patch

#define LBPF_API __attribute__((visibility("default")))

/* libbpf's. */
struct bpf_link;
struct bpf_map;
struct bpf_object;
struct bpf_program;
struct btf;

/* Lua's handles of these. They are the userdata themselves: valid as long as Lua keeps the userdata, so as long as it
 * is on the stack or in a variable, even when the handle is closed. */
struct lbpf_link;
struct lbpf_map;
struct lbpf_object;
struct lbpf_program;

/* Who closes what is pushed. */
#define LBPF_BORROW 0
#define LBPF_OWN 1

/* ---- opening ---- */

/* Opens the library in a state and pushes what `require "bpf"` gives to scripts from then on. With liblbpf.a no file is
 * read: its Lua modules are in it. Where the module bpf/core.so is linked instead, they are looked up on package.path.
 * Doing so twice is fine. The state needs Lua's standard libraries, "package" among them (luaL_openlibs).
 *
 * Returns 0 and pushes the table; or pushes a message and returns -ENOMEM, -EEXIST (the state has another copy of the
 * library open: scripts loaded a module bpf.core of their own before), -EINVAL (a standard library is missing, or a
 * Lua file that isn't in the library).
 * Since 0.1. */
LBPF_API int lbpf_open(lua_State *L);

/* The opener of the C core by itself, `require "bpf.core"`: pushes its table and returns 1. It opens no file, and like
 * any opener may raise errors. lbpf_open is what hosts need.
 * Since 0.1. */
LBPF_API int luaopen_bpf_core(lua_State *L);

/* ---- from the host to Lua ---- */

/* Pushes a map by its file descriptor. Keys and values have the types of the BTF that the kernel has for it, if any.
 *
 * fd: of a map. flags: LBPF_BORROW or LBPF_OWN.
 * Returns 0 and pushes a bpf.map; or pushes a message and returns -EBADF, -EINVAL (the descriptor of something else,
 * unknown flags), -ENOMEM, or what the kernel says. fd is then open, and the host's.
 * Since 0.1. */
LBPF_API int lbpf_push_map_fd(lua_State *L, int fd, int flags);

/* Pushes a map of libbpf's, borrowed: one that exists in the kernel already. A map of an object that isn't loaded yet
 * is reached by its object, pushed by lbpf_push_object.
 *
 * map: outlives the handle, or its close.
 * Returns 0 and pushes a bpf.map; or pushes a message and returns -ENOENT (its object is not loaded), -EINVAL (NULL),
 * -ENOMEM, or what the kernel says.
 * Since 0.1. */
LBPF_API int lbpf_push_map(lua_State *L, const struct bpf_map *map);

/* Pushes an object of libbpf's, a skeleton's for instance, loaded or not: obj.maps, obj.progs, obj.vars and methods
 * work as with one that bpf.open gave. Links that scripts make belong to the handle and are closed with it.
 *
 * An object that isn't loaded yet can be configured by scripts and loaded by obj:load(). If the host loads it
 * meanwhile, as it must with a skeleton's (libbpf moves the skeleton's variables only in the skeleton's own load
 * function), obj:load() just takes notice of that, and so does pushing the object again.
 *
 * obj: borrowed, it outlives the handle, or its close: lbpf_close(L, idx) makes every handle of what is in it unusable,
 * and then the host may close the object. Owned, it is closed by bpf_object__close; never own a skeleton's object,
 * which the skeleton closes. flags: LBPF_BORROW or LBPF_OWN.
 * Returns 0 and pushes a bpf.object; or pushes a message and returns -EINVAL (NULL, unknown flags, malformed BTF),
 * -ENOMEM, or what the kernel says when a loaded object's variables are mapped. obj is then open, and the host's.
 * Since 0.1. */
LBPF_API int lbpf_push_object(lua_State *L, struct bpf_object *obj, int flags);

/* Pushes a program of libbpf's by itself, borrowed, loaded or not. Links that scripts make of it stay until they are
 * closed, or the state is.
 *
 * prog: with its object it outlives the state, or the handle's close and that of all links made from it.
 * Returns 0 and pushes a bpf.prog; or pushes a message and returns -EINVAL (NULL), -ENOMEM.
 * Since 0.1. */
LBPF_API int lbpf_push_program(lua_State *L, struct bpf_program *prog);

/* Pushes a loaded program by its file descriptor: to run and inspect it, to store it in maps, and to attach it
 * in the ways that need no libbpf's struct. Links that scripts make of it stay until they are closed, or the state is.
 *
 * fd: of a program. flags: LBPF_BORROW or LBPF_OWN.
 * Returns 0 and pushes a bpf.prog; or pushes a message and returns -EBADF, -EINVAL (the descriptor of something else,
 * unknown flags), -ENOMEM, or what the kernel says. fd is then open, and the host's.
 * Since 0.1. */
LBPF_API int lbpf_push_program_fd(lua_State *L, int fd, int flags);

/* Pushes a link of libbpf's. Scripts that call link:detach() detach the program, whoever owns the link; every other way
 * to close a borrowed one leaves the link alone.
 *
 * link: borrowed, it outlives the handle, or its close. Owned, it is destroyed when the handle is closed, at the latest
 * with the state, not when the handle is collected: scripts need not keep it for the program to stay attached.
 * flags: LBPF_BORROW or LBPF_OWN.
 * Returns 0 and pushes a bpf.link; or pushes a message and returns -EINVAL (NULL, unknown flags), -ENOMEM. link is then
 * as it was, and the host's.
 * Since 0.1. */
LBPF_API int lbpf_push_link(lua_State *L, struct bpf_link *link, int flags);

/* Closes the handle at idx, as scripts may do: what it owns is closed, what it borrows is let go, and using it, or what
 * was reached through it, raises an error from then on. Closing twice is fine. A handle of an object's program is
 * closed with its object only.
 *
 * idx: a bpf.map, bpf.object, bpf.prog or bpf.link.
 * Returns 0, or -EINVAL for anything else. Pushes nothing, needs no memory and never raises.
 * Since 0.1. */
LBPF_API int lbpf_close(lua_State *L, int idx);

/* ---- from Lua to the host ---- */

/* The handle at argument arg of a C function. What isn't one raises "bad argument #1 to 'f' (bpf.map expected, got
 * table)", a closed one "bad argument #1 to 'f' (map 'hits' is closed)". Never NULL.
 * Since 0.1. */
LBPF_API const struct lbpf_map *lbpf_check_map(lua_State *L, int arg);
LBPF_API const struct lbpf_object *lbpf_check_object(lua_State *L, int arg);
LBPF_API const struct lbpf_program *lbpf_check_program(lua_State *L, int arg);
LBPF_API const struct lbpf_link *lbpf_check_link(lua_State *L, int arg);

/* The handle at idx, open or closed, or NULL if what is there isn't one. These never raise.
 * Since 0.1. */
LBPF_API const struct lbpf_map *lbpf_test_map(lua_State *L, int idx);
LBPF_API const struct lbpf_object *lbpf_test_object(lua_State *L, int idx);
LBPF_API const struct lbpf_program *lbpf_test_program(lua_State *L, int idx);
LBPF_API const struct lbpf_link *lbpf_test_link(lua_State *L, int idx);

/* A handle's file descriptor, which stays the handle's: duplicate it to keep it. Or -EINVAL for NULL, so that the
 * answer of lbpf_test_… can be given as it is; -EBADF for a closed handle; -ENOENT for a map or program that isn't
 * loaded yet; -EOPNOTSUPP for an attachment that is no link to the kernel. Since 0.1. */
LBPF_API int lbpf_map_fd(const struct lbpf_map *map);
LBPF_API int lbpf_program_fd(const struct lbpf_program *prog);
LBPF_API int lbpf_link_fd(const struct lbpf_link *link);

/* What libbpf has behind a handle, which stays the handle's, or the host's if it was borrowed. NULL for NULL, for a
 * closed handle, and where there is nothing of libbpf's behind it: maps that are no object's (created, opened by pin or
 * id, pushed by lbpf_push_map or lbpf_push_map_fd), programs and links that were opened by pin, id or descriptor.
 * Since 0.1. */
LBPF_API struct bpf_map *lbpf_map_ptr(const struct lbpf_map *map);
LBPF_API struct bpf_object *lbpf_object_ptr(const struct lbpf_object *obj);
LBPF_API struct bpf_program *lbpf_program_ptr(const struct lbpf_program *prog);
LBPF_API struct bpf_link *lbpf_link_ptr(const struct lbpf_link *link);

/* ---- values ---- */

/* Pushes a BTF type, compiled: a bpf.type, as bpf.btf.type gives scripts. It needs the BTF no longer.
 * Compiling takes some ten microseconds for a small struct, so keep it for as long as there are values of it.
 *
 * btf, type_id: the type, by btf__find_by_name_kind for instance.
 * Returns 0 and pushes a bpf.type; or pushes a message and returns -EINVAL (NULL, no such type, one without a size),
 * -ENOMEM.
 * Since 0.1. */
LBPF_API int lbpf_push_type(lua_State *L, const struct btf *btf, uint32_t type_id);

/* Pushes the Lua value that bytes stand for: a record from a ring buffer, say. The table of values in docs/reference.md
 * says which Lua value a C type becomes.
 *
 * type: where on the stack the bpf.type is. data, size: the bytes, at any address; at least as many as the type has.
 * More fill a flexible array at its end.
 * Returns 0 and pushes the value; or pushes a message and returns -EINVAL (not a bpf.type, too few bytes), -ENOMEM.
 * Since 0.1. */
LBPF_API int lbpf_push_value(lua_State *L, int type, const void *data, size_t size);

/* Writes the Lua value at idx as the bytes of a type.
 *
 * type: where on the stack the bpf.type is. buffer, size: where to; what lies beyond the type's size is left alone.
 * Returns 0 and pushes nothing; or pushes a message, leaves the buffer as it was, and returns -EINVAL (not a bpf.type,
 * a value that doesn't fit it; the message names the member), -ENOSPC (the type is larger than size), -ENOMEM.
 * Since 0.1. */
LBPF_API int lbpf_get_value(lua_State *L, int idx, int type, void *buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif
