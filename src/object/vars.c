/* SPDX-License-Identifier: MIT */
/* An object's global variables: memory shared with the kernel.
 *
 * Before the load, variables are in libbpf's initial image of their section. After the load we map the section's array
 * ourselves, because libbpf before 1.5 keeps a private image. If all variables of a section are static, the kernel
 * can't map the section; then it is read and written as a whole by system calls. Variables are found by the address of
 * their interned name. */
#include "object/vars.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include "base/arg.h"
#include "base/err.h"
#include "btf/compile.h"
#include "map/declared.h"
#include "value/codec.h"

struct section {
	struct bpf_map *map;
	void *mem;    /* our mapping, or NULL */
	size_t bytes; /* size of the mapping */
	uint32_t size;
	bool constant; /* can't be written after the load */
	bool kernels;  /* .kconfig: the load sets its values */
	bool owned;    /* has a variable that belongs to the kernel, such as a lock */
};

struct variable {
	const char *name; /* kept by the names table */
	const struct lbpf_type *type;
	struct section *section;
	uint32_t offset;
};

struct lbpf_vars {
	struct lbpf_head head;
	bool loaded, orphaned;
	uint32_t sections, variables, mask;
	struct section *section; /* these three are in the memory after the struct */
	struct variable *variable;
	uint32_t *index; /* hash table of variable numbers + 1, by the name's address */
};

static const struct lbpf_class vars_class;

/* User values: the owner, which is the object; a table that maps each name to its type. */
enum { VARS_OWNER = 1, VARS_NAMES };

static void vars_release(lua_State *L, int idx, void *self)
{
	struct lbpf_vars *vars = self;

	(void)L;
	(void)idx;
	lbpf_vars_orphan(vars);
}

void lbpf_vars_orphan(struct lbpf_vars *vars)
{
	vars->orphaned = true;
	for (uint32_t i = 0; i < vars->sections; i++) {
		struct section *s = &vars->section[i];

		if (s->mem)
			munmap(s->mem, s->bytes);
		s->mem = NULL;
		s->map = NULL;
	}
}

/* ---- finding the variables ---- */

static const struct btf_type *section_type(const struct btf *btf, const struct bpf_map *map)
{
	uint32_t id = bpf_map__is_internal(map) ? lbpf_declared_types(map, bpf_map__name(map), btf).value : 0;
	const struct btf_type *t = id && btf ? btf__type_by_id(btf, id) : NULL;

	return t && btf_is_datasec(t) ? t : NULL;
}

static uint32_t hash_name(const struct lbpf_vars *vars, const char *name)
{
	uintptr_t p = (uintptr_t)name >> 4;

	return (uint32_t)(p ^ p >> 9) & vars->mask;
}

static void index_add(struct lbpf_vars *vars, uint32_t variable)
{
	uint32_t i = hash_name(vars, vars->variable[variable].name);

	while (vars->index[i])
		i = (i + 1) & vars->mask;
	vars->index[i] = variable + 1;
}

/* Pushes the name of a variable for scripts. Of several static variables with the same name, the second is "name#2".
 * The table of names and the counts of names are at the top. */
static const char *push_name(lua_State *L, const char *name)
{
	lua_Integer n;

	lua_pushstring(L, name);
	lua_pushvalue(L, -1);
	lua_rawget(L, -3);
	n = lua_tointeger(L, -1) + 1;
	lua_pop(L, 1);
	lua_pushvalue(L, -1);
	lua_pushinteger(L, n);
	lua_rawset(L, -4);
	if (n > 1) {
		lua_pushfstring(L, "%s#%I", name, (LUAI_UACINT)n);
		lua_remove(L, -2);
	}
	return lua_tostring(L, -1);
}

/* Adds a variable. The names table and the counts of names are at the top. */
static void vars_add(lua_State *L, struct lbpf_vars *vars, struct section *s, const struct btf *btf,
		     const struct btf_var_secinfo *info)
{
	const struct btf_type *t = btf__type_by_id(btf, info->type);
	const char *name = t ? btf__name_by_offset(btf, t->name_off) : NULL;
	struct variable *v = &vars->variable[vars->variables];
	struct lbpf_type *type;

	if (!name || !*name)
		return;
	v->name = push_name(L, name);
	type = lbpf_btf_compile(L, btf, info->type);
	lbpf_type_extend(type, info->size);
	v->type = type;
	v->section = s;
	v->offset = info->offset;
	lua_rawset(L, -4);
	if (v->offset > s->size || v->type->size > s->size - v->offset)
		luaL_error(L, "malformed BTF: variable '%s' lies outside of its section", name);
	s->owned |= type->owned;
	index_add(vars, vars->variables++);
}

static struct lbpf_vars *vars_alloc(lua_State *L, uint32_t sections, uint32_t variables)
{
	uint32_t slots = 4;
	struct lbpf_vars *vars;
	size_t at = (sizeof(*vars) + 15) / 16 * 16;

	while (slots < 2 * variables)
		slots *= 2;
	vars = lbpf_class_new(L, &vars_class,
			      at + sections * sizeof(struct section) + variables * sizeof(struct variable) +
				      slots * sizeof(uint32_t),
			      2);
	vars->mask = slots - 1;
	vars->section = (void *)((char *)vars + at);
	vars->variable = (void *)(vars->section + sections);
	vars->index = (void *)(vars->variable + variables);
	return vars;
}

struct lbpf_vars *lbpf_vars_push(lua_State *L, int owner, struct bpf_object *obj)
{
	const struct btf *btf = bpf_object__btf(obj);
	uint32_t sections = 0, variables = 0;
	struct lbpf_vars *vars;
	struct bpf_map *map;

	luaL_checkstack(L, 16, NULL);
	owner = lua_absindex(L, owner);
	bpf_object__for_each_map(map, obj)
	{
		const struct btf_type *t = section_type(btf, map);

		sections += t != NULL;
		variables += t ? btf_vlen(t) : 0;
	}
	vars = vars_alloc(L, sections, variables);
	lua_pushvalue(L, owner);
	lua_setiuservalue(L, -2, VARS_OWNER);
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, -3, VARS_NAMES);
	lua_newtable(L); /* how often each name occurs */
	bpf_object__for_each_map(map, obj)
	{
		const struct btf_type *t = section_type(btf, map);
		struct section *s = &vars->section[vars->sections];

		if (!t)
			continue;
		vars->sections++;
		s->map = map;
		s->size = bpf_map__value_size(map);
		s->constant = bpf_map__map_flags(map) & BPF_F_RDONLY_PROG;
		s->kernels = strcmp(btf__name_by_offset(btf, t->name_off), ".kconfig") == 0;
		for (uint16_t i = 0; i < btf_vlen(t); i++)
			vars_add(L, vars, s, btf, btf_var_secinfos(t) + i);
		/* The kernel doesn't map memory with locks, and libbpf 1.5 fails if it can't be mapped. */
		if (s->owned)
			bpf_map__set_map_flags(map, bpf_map__map_flags(map) & ~(uint32_t)BPF_F_MMAPABLE);
	}
	lua_pop(L, 2);
	return vars;
}

void lbpf_vars_resized(lua_State *L, int idx, const struct bpf_object *obj, const struct bpf_map *map)
{
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_type *t = section_type(btf, map);
	const struct btf_var_secinfo *info = t && btf_vlen(t) ? btf_var_secinfos(t) + btf_vlen(t) - 1 : NULL;
	struct lbpf_vars *vars = lua_touserdata(L, idx);

	luaL_checkstack(L, 16, NULL);
	for (uint32_t i = 0; i < vars->sections; i++)
		if (vars->section[i].map == map)
			vars->section[i].size = bpf_map__value_size(map);
	for (uint32_t i = 0; info && i < vars->variables; i++) {
		struct variable *v = &vars->variable[i];

		if (v->section->map != map || v->offset != info->offset)
			continue;
		lua_getiuservalue(L, idx, VARS_NAMES);
		lua_pushstring(L, v->name);
		v->type = lbpf_btf_compile(L, btf, info->type);
		lua_rawset(L, -3);
		lua_pop(L, 1);
	}
}

int lbpf_vars_loaded(struct lbpf_vars *vars)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	vars->loaded = true;
	/* The variables were collected before the object, which a finalizer loads now. */
	if (vars->orphaned)
		return 0;
	for (uint32_t i = 0; i < vars->sections; i++) {
		struct section *s = &vars->section[i];
		uint32_t size = bpf_map__value_size(s->map);

		if (size < s->size) /* a host has made it smaller than its variables */
			return EMSGSIZE;
		s->size = size;
		if (!(bpf_map__map_flags(s->map) & BPF_F_MMAPABLE))
			continue;
		s->bytes = (((size_t)s->size + 7) / 8 * 8 + page - 1) / page * page;
		s->mem = mmap(NULL, s->bytes, s->constant ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED,
			      bpf_map__fd(s->map), 0);
		if (s->mem == MAP_FAILED) {
			s->mem = NULL;
			if (errno != ENOTSUPP) /* a host has loaded a section with a lock in it */
				return errno;
		}
	}
	return 0;
}

/* ---- access ---- */

__attribute__((noinline)) _Noreturn static void vars_unknown(lua_State *L, const struct lbpf_vars *vars, int idx)
{
	luaL_Buffer b;

	lbpf_arg_show(L, idx);
	luaL_buffinit(L, &b);
	for (uint32_t i = 0; i < vars->variables && i < 20; i++)
		lbpf_list_add(&b, i == 19 ? "…" : vars->variable[i].name);
	luaL_pushresult(&b);
	luaL_error(L, "there is no variable '%s' (variables: %s)", lua_tostring(L, -2),
		   vars->variables ? lua_tostring(L, -1) : "none");
	__builtin_unreachable();
}

/* Lua doesn't intern strings of more than 40 bytes, so addresses of longer names can't be compared. */
__attribute__((noinline)) static struct variable *find_long(lua_State *L, const struct lbpf_vars *vars, int idx)
{
	const char *name = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : NULL;

	for (uint32_t i = 0; name && i < vars->variables; i++)
		if (strlen(vars->variable[i].name) == lua_rawlen(L, idx) && strcmp(vars->variable[i].name, name) == 0)
			return &vars->variable[i];
	vars_unknown(L, vars, idx);
}

static inline struct variable *vars_find(lua_State *L, const struct lbpf_vars *vars, int idx)
{
	const char *name = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : NULL;

	for (uint32_t i = hash_name(vars, name); vars->index[i]; i = (i + 1) & vars->mask) {
		struct variable *v = &vars->variable[vars->index[i] - 1];

		if (lbpf_likely(v->name == name))
			return v;
	}
	return find_long(L, vars, idx);
}

/* Checks again after an allocation, which may have run a finalizer that closed the object. */
static inline void vars_recheck(lua_State *L, const struct lbpf_vars *vars)
{
	if (lbpf_unlikely(vars->orphaned))
		luaL_error(L, "the object of these variables is closed");
}

static struct lbpf_vars *vars_check(lua_State *L)
{
	struct lbpf_vars *vars = lbpf_class_check(L, 1, &vars_class);

	vars_recheck(L, vars);
	return vars;
}

/* Pushes a copy of a section that can't be mapped, and returns it. */
static uint8_t *section_fetch(lua_State *L, const struct lbpf_vars *vars, const struct section *s)
{
	size_t bytes = ((size_t)s->size + 7) / 8 * 8;
	uint8_t *copy = lua_newuserdatauv(L, bytes, 0);
	uint32_t zero = 0;

	vars_recheck(L, vars);
	if (bpf_map_lookup_elem(bpf_map__fd(s->map), &zero, copy))
		lbpf_err_raise(L, errno, NULL, "reading section '%s'", bpf_map__name(s->map));
	return copy;
}

/* The variable in the initial image of its section; NULL if it has no value before the load. */
static uint8_t *image_find(const struct variable *v)
{
	size_t size;
	const void *image = bpf_map__initial_value(v->section->map, &size);

	if (!image || size < v->section->size || v->section->kernels)
		return NULL;
	/* libbpf 1.1 declares the image const, although it may be written before the load */
	return (uint8_t *)(uintptr_t)image + v->offset;
}

/* The variable's memory, for reading or writing. Raises if there is none. */
static uint8_t *image_of(lua_State *L, const struct variable *v, bool write)
{
	uint8_t *image = image_find(v);

	if (!image)
		luaL_error(L,
			   write ? "variable '%s' can't be set, the kernel's configuration says what it is"
				 : "variable '%s' is known only once the object is loaded",
			   v->name);
	return image;
}

/* Decodes from a copy, because the memory may be unmapped while tables are created. */
__attribute__((noinline)) static void read_slowly(lua_State *L, const struct lbpf_vars *vars, const struct variable *v)
{
	LBPF_SCRATCH(L, copy, v->type->size);

	vars_recheck(L, vars);
	if (!vars->loaded)
		memcpy(copy, image_of(L, v, false), v->type->size);
	else if (v->section->mem)
		memcpy(copy, (uint8_t *)v->section->mem + v->offset, v->type->size);
	else
		memcpy(copy, section_fetch(L, vars, v->section) + v->offset, v->type->size);
	lbpf_decode(L, v->type, copy, v->type->size);
}

/* Writes the whole section. What a program has written to other variables of the section since it was read is lost. */
static void write_section(lua_State *L, const struct lbpf_vars *vars, const struct variable *v, const void *value)
{
	uint8_t *copy = section_fetch(L, vars, v->section);
	uint32_t zero = 0;

	memcpy(copy + v->offset, value, v->type->size);
	if (bpf_map_update_elem(bpf_map__fd(v->section->map), &zero, copy, BPF_ANY))
		lbpf_err_raise(L, errno, NULL, "variable '%s'", v->name);
}

static inline void check_variable(lua_State *L, const struct lbpf_vars *vars, const struct variable *v)
{
	if (lbpf_unlikely(vars->loaded && v->section->constant))
		luaL_error(L, "variable '%s' is constant: it can be set only before the object is loaded", v->name);
}

/* Encodes into a temporary first, so that a value that doesn't fit changes nothing. Encoding may run a finalizer that
 * loads the object. */
__attribute__((noinline)) static void write_slowly(lua_State *L, const struct lbpf_vars *vars, const struct variable *v)
{
	LBPF_SCRATCH(L, value, v->type->size);

	if (v->type->owned)
		luaL_error(L, "variable '%s' can't be set: %s belongs to the kernel, or has members that do", v->name,
			   v->type->node[0].ctype);
	lbpf_encode(L, v->type, 3, value, v->name);
	vars_recheck(L, vars);
	check_variable(L, vars, v);
	if (!vars->loaded)
		memcpy(image_of(L, v, true), value, v->type->size);
	else if (v->section->mem)
		memcpy((uint8_t *)v->section->mem + v->offset, value, v->type->size);
	else
		write_section(L, vars, v, value);
}

static int vars_index(lua_State *L)
{
	struct lbpf_vars *vars = vars_check(L);
	struct variable *v = vars_find(L, vars, 2);
	const uint8_t *p = v->section->mem;

	if (lbpf_likely(p && lbpf_type_is_integer(v->type)))
		lbpf_decode(L, v->type, p + v->offset, v->type->size);
	else
		read_slowly(L, vars, v);
	return 1;
}

static int vars_newindex(lua_State *L)
{
	struct lbpf_vars *vars = vars_check(L);
	struct variable *v = vars_find(L, vars, 2);
	uint8_t *p = v->section->mem;

	check_variable(L, vars, v);
	if (lbpf_likely(p && lbpf_type_is_integer(v->type)))
		lbpf_encode(L, v->type, 3, p + v->offset, v->name);
	else
		write_slowly(L, vars, v);
	return 0;
}

bool lbpf_vars_test(lua_State *L, int idx)
{
	return lbpf_class_test(L, idx, &vars_class);
}

uint8_t *lbpf_vars_memory(lua_State *L, int idx, int name, const struct lbpf_type **type)
{
	struct lbpf_vars *vars = lbpf_class_check(L, idx, &vars_class);
	struct variable *v;

	vars_recheck(L, vars);
	v = vars_find(L, vars, name);
	check_variable(L, vars, v);
	*type = v->type;
	if (!vars->loaded)
		return image_of(L, v, true);
	if (!v->section->mem)
		luaL_error(L, "variable '%s' has no memory here, because its section can't be mapped", v->name);
	return (uint8_t *)v->section->mem + v->offset;
}

/* Goes from one variable to the next by name, in the order of their sections. Skips those without a value before the
 * load. */
static int vars_next(lua_State *L)
{
	struct lbpf_vars *vars = vars_check(L);
	uint32_t i = lua_isnoneornil(L, 2) ? 0 : (uint32_t)(vars_find(L, vars, 2) - vars->variable) + 1;

	while (i < vars->variables && !vars->loaded && !image_find(&vars->variable[i]))
		i++;
	if (i == vars->variables) {
		lua_pushnil(L);
		return 1;
	}
	lua_settop(L, 1);
	lua_pushstring(L, vars->variable[i].name);
	vars_index(L);
	lua_pushvalue(L, 2);
	lua_insert(L, -2);
	return 2;
}

static int begin_pairs(lua_State *L)
{
	vars_check(L);
	lua_settop(L, 1);
	lua_pushcfunction(L, vars_next);
	lua_insert(L, 1);
	lua_pushnil(L);
	return 3;
}

static int vars_pairs(lua_State *L)
{
	return lbpf_relay(L, begin_pairs);
}

static int vars_tostring(lua_State *L)
{
	struct lbpf_vars *vars = lbpf_class_check(L, 1, &vars_class);

	lua_pushfstring(L, "bpf.vars: %I variable%s%s", (LUAI_UACINT)vars->variables, vars->variables == 1 ? "" : "s",
			vars->orphaned	       ? " (closed)"
				: vars->loaded ? ""
					       : " (not loaded)");
	return 1;
}

static const luaL_Reg vars_meta[] = {
	{ "__index", vars_index },
	{ "__newindex", vars_newindex },
	{ "__pairs", vars_pairs },
	{ "__tostring", vars_tostring },
	{ NULL, NULL },
};

static const struct lbpf_class vars_class = {
	.name = "bpf.vars", .meta = vars_meta, .release = vars_release, .lasting = true, /* the object's */
};

void lbpf_vars_open(lua_State *L)
{
	lbpf_class_register(L, &vars_class);
}
