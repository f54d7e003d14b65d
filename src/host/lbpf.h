/* SPDX-License-Identifier: MIT */
/* lua-bpf for C and C++ hosts. It opens the library in a Lua state, makes Lua handles of the host's maps, objects,
 * programs and links, gets the host's things back from handles, and converts single values between bytes and Lua.
 * docs/guide.md, "Embedding", shows the use; examples/embed is a complete host.
 *
 * Rules for every function:
 *
 * - Call lbpf_open first, in each state. All other functions refuse a state without the library, or with another copy
 *   of the library.
 * - A function that returns an int as its result runs in protected mode: it never raises an error, and never calls the
 *   state's panic function, even when there is no memory. It returns 0 and pushes what is asked for. Or it returns a
 *   negative errno and pushes a message, a string that says what failed and why. -EINVAL means misuse. -ENOMEM may
 *   mean Lua's own memory. All others come from the kernel or libbpf.
 * - The functions lbpf_check_… raise errors as luaL_check… do. Use them in C functions that Lua calls.
 * - As with Lua's own functions, there must be room on the stack: 12 free slots. A new state has that room, and so has
 *   a C function that Lua has just called; lua_checkstack makes more.
 * - LBPF_BORROW: the host still owns what it pushes. It keeps the thing open until the handle is closed (lbpf_close),
 *   the state is closed, or, for a descriptor, no script uses the handle any more. Closing the handle or the state
 *   closes nothing of the host's.
 * - LBPF_OWN: the handle owns what is pushed. It closes the thing when the handle is closed or collected, at the
 *   latest with the state. Only a call that returns 0 takes ownership: after a failure, the host owns what it owned
 *   before.
 * - Only one thread at a time may use a state. Different threads may use different states at once, and the states may
 *   share maps, programs and objects. No state may load or close an object while others use it.
 *
 * The library writes to no stream and changes no signal, locale or limit of the process. There are two exceptions,
 * which libbpf has only once for the whole process:
 *
 * - The print callback. lbpf_open sets a callback of the library, which keeps what is printed during a call of this
 *   library and passes everything else on to the callback that was set before. A host sets its own callback before
 *   lbpf_open.
 * - RLIMIT_MEMLOCK. On kernels before 5.11, libbpf raises it when it first creates a map or program, whoever asks for
 *   that, and only once. A host that wants another limit calls libbpf_set_memlock_rlim before. The shared libbpf 1.1
 *   does not export that function: there, the host has libbpf raise the limit first (bpf_map_create with any arguments
 *   does), and sets its own limit afterwards. */
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

/* libbpf's types. */
struct bpf_link;
struct bpf_map;
struct bpf_object;
struct bpf_program;
struct btf;

/* Lua's handles of these types. A pointer to one points to the userdata itself. It is valid as long as Lua keeps the
 * userdata, that is, as long as it is on the stack or in a variable, even if the handle is closed. */
struct lbpf_link;
struct lbpf_map;
struct lbpf_object;
struct lbpf_program;

/* Who owns what is pushed: the host, or the handle. */
#define LBPF_BORROW 0
#define LBPF_OWN 1

/* ---- opening ---- */

/* Opens the library in a state and pushes its table, which `require "bpf"` gives to scripts from then on. Opening
 * twice is fine. The state needs Lua's standard libraries, "package" among them (luaL_openlibs). liblbpf.a contains
 * the library's Lua modules, so no file is read. A host linked with the module bpf/core.so instead finds the Lua
 * modules on package.path.
 *
 * Returns 0 and pushes the table; or pushes a message and returns -ENOMEM, -EEXIST (another copy of the library is
 * open in the state: scripts loaded a module bpf.core of their own before), -EINVAL (a standard library is missing, or
 * a Lua file that isn't in the library).
 * Since 0.1. */
LBPF_API int lbpf_open(lua_State *L);

/* Opens the C core alone, as `require "bpf.core"` does: pushes the core's table and returns 1. It opens no file, and
 * may raise errors, as any opener may. Hosts need lbpf_open instead.
 * Since 0.1. */
LBPF_API int luaopen_bpf_core(lua_State *L);

/* ---- from the host to Lua ---- */

/* Pushes a map by its file descriptor. Keys and values have the types of the map's BTF in the kernel, if there is any.
 *
 * fd: descriptor of a map. flags: LBPF_BORROW or LBPF_OWN.
 * Returns 0 and pushes a bpf.map; or pushes a message and returns -EBADF, -EINVAL (the descriptor of something else,
 * unknown flags), -ENOMEM, or the kernel's error. After a failure, fd is open and the host's.
 * Since 0.1. */
LBPF_API int lbpf_push_map_fd(lua_State *L, int fd, int flags);

/* Pushes a map of libbpf's, borrowed. The map must exist in the kernel already. To reach a map of an object that isn't
 * loaded yet, push the object with lbpf_push_object.
 *
 * map: must live until the handle is closed or collected.
 * Returns 0 and pushes a bpf.map; or pushes a message and returns -ENOENT (its object is not loaded), -EINVAL (NULL),
 * -ENOMEM, or the kernel's error.
 * Since 0.1. */
LBPF_API int lbpf_push_map(lua_State *L, const struct bpf_map *map);

/* Pushes an object of libbpf's, such as a skeleton's, loaded or not. obj.maps, obj.progs, obj.vars and the methods
 * work as for an object of bpf.open. The handle owns the links that scripts make, and closes them when it is closed.
 *
 * Scripts can configure an object that isn't loaded yet, and load it by obj:load(). The host may load it meanwhile. It
 * must load a skeleton's object itself, because libbpf moves the skeleton's variables only in the skeleton's own load
 * function. obj:load() then only notices that the object is loaded, and so does pushing the object again.
 *
 * obj: a borrowed object must live until its handle is closed or collected. lbpf_close(L, idx) makes the handles of
 * all maps, programs and links in it unusable; after that, the host may close the object. An owned object is closed by
 * bpf_object__close. Never let the handle own a skeleton's object, because the skeleton closes it.
 * flags: LBPF_BORROW or LBPF_OWN.
 * Returns 0 and pushes a bpf.object; or pushes a message and returns -EINVAL (NULL, unknown flags, malformed BTF),
 * -ENOMEM, or the kernel's error when a loaded object's variables are mapped. After a failure, obj is open and the
 * host's.
 * Since 0.1. */
LBPF_API int lbpf_push_object(lua_State *L, struct bpf_object *obj, int flags);

/* Pushes a program of libbpf's, borrowed, loaded or not, without its object. Links that scripts make from the program
 * stay attached until they are closed, or the state is.
 *
 * prog: the program and its object must live until the state is closed, or until the handle and all links made from it
 * are closed.
 * Returns 0 and pushes a bpf.prog; or pushes a message and returns -EINVAL (NULL), -ENOMEM.
 * Since 0.1. */
LBPF_API int lbpf_push_program(lua_State *L, struct bpf_program *prog);

/* Pushes a loaded program by its file descriptor. Scripts can run and inspect it, store it in maps, and attach it in
 * the ways that need no struct of libbpf's. Links that scripts make from the program stay attached until they are
 * closed, or the state is.
 *
 * fd: descriptor of a program. flags: LBPF_BORROW or LBPF_OWN.
 * Returns 0 and pushes a bpf.prog; or pushes a message and returns -EBADF, -EINVAL (the descriptor of something else,
 * unknown flags), -ENOMEM, or the kernel's error. After a failure, fd is open and the host's.
 * Since 0.1. */
LBPF_API int lbpf_push_program_fd(lua_State *L, int fd, int flags);

/* Pushes a link of libbpf's. link:detach() in a script detaches the program, whoever owns the link. Every other way to
 * close the handle of a borrowed link leaves the link alone.
 *
 * link: a borrowed link must live until the handle is closed or collected. An owned link is destroyed when the handle
 * is closed, at the latest with the state. It is not destroyed when the handle is collected, so scripts need not keep
 * the handle for the program to stay attached.
 * flags: LBPF_BORROW or LBPF_OWN.
 * Returns 0 and pushes a bpf.link; or pushes a message and returns -EINVAL (NULL, unknown flags), -ENOMEM. After a
 * failure, link is as it was and the host's.
 * Since 0.1. */
LBPF_API int lbpf_push_link(lua_State *L, struct bpf_link *link, int flags);

/* Closes the handle at idx, as scripts may do. What the handle owns is closed; what it borrows stays open and is not
 * used any more. From then on, using the handle raises an error in scripts, and so does using what was reached through
 * it. Closing twice is fine. The handle of an object's program is closed only with its object.
 *
 * idx: stack index of a bpf.map, bpf.object, bpf.prog or bpf.link.
 * Returns 0, or -EINVAL for anything else. Pushes nothing, needs no memory and never raises an error.
 * Since 0.1. */
LBPF_API int lbpf_close(lua_State *L, int idx);

/* ---- from Lua to the host ---- */

/* Return the handle at argument arg of a C function, never NULL. Another value raises "bad argument #1 to 'f' (bpf.map
 * expected, got table)", and a closed handle "bad argument #1 to 'f' (map 'hits' is closed)".
 * Since 0.1. */
LBPF_API const struct lbpf_map *lbpf_check_map(lua_State *L, int arg);
LBPF_API const struct lbpf_object *lbpf_check_object(lua_State *L, int arg);
LBPF_API const struct lbpf_program *lbpf_check_program(lua_State *L, int arg);
LBPF_API const struct lbpf_link *lbpf_check_link(lua_State *L, int arg);

/* Return the handle at idx, open or closed, or NULL for any other value. They never raise an error.
 * Since 0.1. */
LBPF_API const struct lbpf_map *lbpf_test_map(lua_State *L, int idx);
LBPF_API const struct lbpf_object *lbpf_test_object(lua_State *L, int idx);
LBPF_API const struct lbpf_program *lbpf_test_program(lua_State *L, int idx);
LBPF_API const struct lbpf_link *lbpf_test_link(lua_State *L, int idx);

/* Return the file descriptor of a handle. The handle still owns it: duplicate the descriptor to keep it. They return
 * -EINVAL for NULL, so that the result of lbpf_test_… can be passed as it is; -EBADF for a closed handle; -ENOENT for
 * a map or program that isn't loaded yet; -EOPNOTSUPP for an attachment that is no link to the kernel. Since 0.1. */
LBPF_API int lbpf_map_fd(const struct lbpf_map *map);
LBPF_API int lbpf_program_fd(const struct lbpf_program *prog);
LBPF_API int lbpf_link_fd(const struct lbpf_link *link);

/* Return libbpf's struct behind a handle. The handle still owns it, or the host if it was borrowed. They return NULL
 * for NULL, for a closed handle, and for a handle without a struct of libbpf's. These are maps of no object (created,
 * opened by pin or id, pushed by lbpf_push_map or lbpf_push_map_fd), and programs and links opened by pin, id or
 * descriptor.
 * Since 0.1. */
LBPF_API struct bpf_map *lbpf_map_ptr(const struct lbpf_map *map);
LBPF_API struct bpf_object *lbpf_object_ptr(const struct lbpf_object *obj);
LBPF_API struct bpf_program *lbpf_program_ptr(const struct lbpf_program *prog);
LBPF_API struct bpf_link *lbpf_link_ptr(const struct lbpf_link *link);

/* ---- values ---- */

/* Compiles a BTF type and pushes it as a bpf.type, as bpf.btf.type does for scripts. The bpf.type does not need the
 * BTF any more. Compiling takes some ten microseconds for a small struct, so keep the bpf.type while there are values
 * of it.
 *
 * btf, type_id: the type, found by btf__find_by_name_kind, for example.
 * Returns 0 and pushes a bpf.type; or pushes a message and returns -EINVAL (NULL, no such type, one without a size),
 * -ENOMEM.
 * Since 0.1. */
LBPF_API int lbpf_push_type(lua_State *L, const struct btf *btf, uint32_t type_id);

/* Decodes bytes, such as a record of a ring buffer, and pushes the Lua value. The table of values in docs/reference.md
 * says which Lua value a C type becomes.
 *
 * type: stack index of the bpf.type. data, size: the bytes, at any address; at least as many as the type has. Further
 * bytes fill a flexible array at its end.
 * Returns 0 and pushes the value; or pushes a message and returns -EINVAL (not a bpf.type, too few bytes), -ENOMEM.
 * Since 0.1. */
LBPF_API int lbpf_push_value(lua_State *L, int type, const void *data, size_t size);

/* Encodes the Lua value at idx as the bytes of a type, and writes them into a buffer.
 *
 * type: stack index of the bpf.type. buffer, size: the buffer; bytes beyond the type's size are left alone.
 * Returns 0 and pushes nothing; or pushes a message, leaves the buffer as it was, and returns -EINVAL (not a bpf.type,
 * a value that doesn't fit it; the message names the member), -ENOSPC (the type is larger than size), -ENOMEM.
 * Since 0.1. */
LBPF_API int lbpf_get_value(lua_State *L, int idx, int type, void *buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif
