/* SPDX-License-Identifier: MIT */
/* bpf.dwfl, for bpf.symbols: functions, inlined functions and lines of an ELF file, by elfutils' libdwfl.
 *
 * A handle has a session of libdwfl with one module, the file. It owns the session, what was read from it and, until
 * the debugging information is read, a descriptor of the debug file. Only its collection frees them, so that no
 * finalizer can take them away while they are used. Which debug files there may be is decided in Lua, because they are
 * in another process's root; whether one fits is decided here. */
#if !__has_include(<lua.h>)
#error "Lua's headers are missing. Debian: apt install liblua5.4-dev; Fedora: dnf install lua-devel"
#endif

#if !__has_include(<elfutils/libdwfl.h>)
#error "elfutils' headers are missing. Debian: apt install libdw-dev; Fedora: dnf install elfutils-devel"
#endif

#include "dwfl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#include <elfutils/libdwelf.h>

#define CLASS "bpf.dwfl"

struct file {
	void *image; /* the file, mapped: with that, libdwfl keeps no descriptor of it */
	size_t size;
	Elf *unused; /* the same, until libdwfl has it */
	Dwfl *dwfl;
	Dwfl_Module *module;
	Elf *elf;	/* the module's */
	GElf_Addr bias; /* an address of the module minus that in the ELF file */
	int debug;	/* descriptor of the debug file, or -1 */
	bool read;	/* the two below are there */
	struct lbpf_symtab symbols;
	struct lbpf_units *units; /* NULL: no debugging information */
	char *name;		  /* the name that was demangled last */
};

static struct file *check(lua_State *L)
{
	struct file *file = luaL_checkudata(L, 1, CLASS);

	luaL_argcheck(L, file->elf, 1, "the file was not opened");
	return file;
}

static int file_gc(lua_State *L)
{
	struct file *file = luaL_checkudata(L, 1, CLASS);

	lbpf_symtab_free(&file->symbols);
	lbpf_units_free(file->units);
	file->units = NULL;
	if (file->dwfl)
		dwfl_end(file->dwfl);
	file->dwfl = NULL;
	file->elf = NULL;
	elf_end(file->unused);
	file->unused = NULL;
	if (file->image)
		munmap(file->image, file->size);
	file->image = NULL;
	if (file->debug >= 0)
		close(file->debug);
	file->debug = -1;
	free(file->name);
	file->name = NULL;
	return 0;
}

/* ---- opening ---- */

/* Gives libdwfl the file, which it frees from then on. There is no descriptor. */
static int give_elf(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base, char **path, Elf **elf)
{
	struct file *file = *userdata;

	(void)module, (void)name, (void)base, (void)path;
	*elf = file->unused;
	file->unused = NULL;
	return -1;
}

/* Gives libdwfl the debug file that `debug` has accepted. libdwfl closes the descriptor. */
static int give_debug(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base, const char *path,
		      const char *link, GElf_Word crc, char **found)
{
	struct file *file = *userdata;
	int fd = file->debug;

	(void)module, (void)name, (void)base, (void)path, (void)link, (void)crc, (void)found;
	file->debug = -1;
	return fd;
}

static int fail(lua_State *L, const char *message)
{
	lua_pushnil(L);
	lua_pushstring(L, message);
	return 2;
}

static int descriptor_of(lua_State *L, int idx)
{
	const luaL_Stream *stream = luaL_checkudata(L, idx, LUA_FILEHANDLE);

	luaL_argcheck(L, stream->closef, idx, "the file is closed");
	return fileno(stream->f);
}

/* Maps the file. Returns false with errno. */
static bool map(struct file *file, int fd)
{
	struct stat st;
	void *image;

	if (fstat(fd, &st))
		return false;
	errno = ENOEXEC;
	if (st.st_size <= 0)
		return false;
	image = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		return false;
	file->image = image;
	file->size = (size_t)st.st_size;
	return true;
}

/* Finds the addresses of a program or library. Returns false if it has none. */
static bool find_range(Elf *elf, GElf_Addr *from, GElf_Addr *to)
{
	GElf_Ehdr header;
	size_t count;
	bool found = false;

	if (!gelf_getehdr(elf, &header) || (header.e_type != ET_EXEC && header.e_type != ET_DYN) ||
	    elf_getphdrnum(elf, &count) != 0)
		return false;
	for (size_t i = 0; i < count && i < 65536; i++) {
		GElf_Phdr segment;

		if (!gelf_getphdr(elf, (int)i, &segment) || segment.p_type != PT_LOAD)
			continue;
		if (!found)
			*from = *to = segment.p_vaddr & -segment.p_align; /* as libdwfl aligns it */
		found = true;
		if (segment.p_vaddr + segment.p_memsz > *to)
			*to = segment.p_vaddr + segment.p_memsz;
	}
	return found && *from < *to;
}

/* Opens the file that is mapped. Returns NULL, or the reason. */
static const char *open_session(struct file *file)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = give_elf,
		.find_debuginfo = give_debug,
		.section_address = dwfl_offline_section_address,
	};
	GElf_Addr from = 0, to = 0;
	void **userdata;

	elf_version(EV_CURRENT);
	file->unused = elf_memory(file->image, file->size);
	if (!file->unused || elf_kind(file->unused) != ELF_K_ELF || !find_range(file->unused, &from, &to))
		return "this is no program or library in ELF";
	file->dwfl = dwfl_begin(&callbacks);
	if (file->dwfl)
		file->module = dwfl_report_module(file->dwfl, "file", from, to);
	if (!file->module)
		return dwfl_errmsg(-1);
	dwfl_report_end(file->dwfl, NULL, NULL);
	dwfl_module_info(file->module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
	*userdata = file;
	file->elf = dwfl_module_getelf(file->module, &file->bias);
	return file->elf ? NULL : dwfl_errmsg(-1);
}

/* open(file) → a handle; or nil and a message, if the file is no ELF file. The handle doesn't need the Lua file. */
static int l_open(lua_State *L)
{
	struct file *file;
	const char *message;

	luaL_checkudata(L, 1, LUA_FILEHANDLE);
	file = lua_newuserdatauv(L, sizeof(*file), 0);
	*file = (struct file){ .debug = -1 };
	luaL_setmetatable(L, CLASS);
	message = map(file, descriptor_of(L, 1)) ? open_session(file) : strerror(errno);
	return message ? fail(L, message) : 1;
}

/* handle:build_id() → its digits, or nil. */
static int file_build_id(lua_State *L)
{
	struct file *file = check(L);
	const void *bits;
	ssize_t size = dwelf_elf_gnu_build_id(file->elf, &bits);
	luaL_Buffer buffer;

	if (size <= 0 || size > 64)
		return 0;
	luaL_buffinit(L, &buffer);
	for (ssize_t i = 0; i < size; i++) {
		char digits[3];

		snprintf(digits, sizeof(digits), "%02x", ((const unsigned char *)bits)[i]);
		luaL_addlstring(&buffer, digits, 2);
	}
	luaL_pushresult(&buffer);
	return 1;
}

/* handle:debuglink() → the name of a debug file, or nil. */
static int file_debuglink(lua_State *L)
{
	struct file *file = check(L);
	GElf_Word crc;

	lua_pushstring(L, dwelf_elf_gnu_debuglink(file->elf, &crc));
	return 1;
}

/* handle:debug(file) → whether this is the debug file; then it is used. To be called before the first look-up. */
static int file_debug(lua_State *L)
{
	struct file *file = check(L);
	int fd = fcntl(descriptor_of(L, 2), F_DUPFD_CLOEXEC, 3);
	bool fits = fd >= 0 && !file->read && file->debug < 0 && lbpf_debugfile_fits(fd, file->elf);

	if (fits)
		file->debug = fd;
	else if (fd >= 0)
		close(fd);
	lua_pushboolean(L, fits);
	return 1;
}

/* ---- looking up ---- */

/* The module's address of an offset in the file, which a segment has. */
static bool place(const struct file *file, uint64_t offset, uint64_t *address)
{
	size_t count;

	if (elf_getphdrnum(file->elf, &count) != 0)
		return false;
	for (size_t i = 0; i < count && i < 65536; i++) {
		GElf_Phdr segment;

		if (gelf_getphdr(file->elf, (int)i, &segment) && segment.p_type == PT_LOAD &&
		    offset >= segment.p_offset && offset - segment.p_offset < segment.p_filesz) {
			*address = offset - segment.p_offset + segment.p_vaddr + file->bias;
			return true;
		}
	}
	return false;
}

/* Sets the frame's name as the programmer wrote it. In .symtab, names of libraries end with their version:
 * "write@@GLIBC_2.2.5". */
static void set_name(lua_State *L, struct file *file, const char *name)
{
	const char *version = strchr(name, '@'), *plain;

	plain = lua_pushlstring(L, name, version && version > name ? (size_t)(version - name) : strlen(name));
	free(file->name);
	file->name = lbpf_demangle(plain);
	if (file->name) {
		lua_pushstring(L, file->name);
		lua_remove(L, -2);
	}
	lua_setfield(L, -2, "name");
}

static void push_frame(lua_State *L, struct file *file, const struct lbpf_frame *frame, const char *name)
{
	lua_createtable(L, 0, 5);
	if (name)
		set_name(L, file, name);
	if (frame->file) {
		lua_pushstring(L, frame->file);
		lua_setfield(L, -2, "source");
	}
	if (frame->line > 0) {
		lua_pushinteger(L, frame->line);
		lua_setfield(L, -2, "line");
	}
}

static bool read_all(struct file *file)
{
	if (!file->read && !lbpf_symtab_read(&file->symbols, file->module))
		return false;
	if (!file->read)
		file->units = lbpf_units_new(file->module);
	file->read = true;
	return true;
}

/* handle:frames(offset) → the functions at an offset in the file: { { name =, source =, line =, inlined = true }, …,
 * { name =, offset =, source =, line = } }. The innermost is the first, and the last is the function that the others
 * are inlined in. An empty table if no function is there; nil if the offset is in no segment. */
static int file_frames(lua_State *L)
{
	struct file *file = check(L);
	uint64_t offset = (uint64_t)luaL_checkinteger(L, 2), address, from = 0;
	struct lbpf_frame frames[LBPF_FRAMES];
	const struct lbpf_symbol *symbol;
	size_t count = 0;

	if (!place(file, offset, &address))
		return 0;
	if (!read_all(file))
		return luaL_error(L, "not enough memory");
	symbol = lbpf_symtab_find(&file->symbols, address);
	if (file->units)
		count = lbpf_units_find(file->units, address, frames, &from);
	lua_createtable(L, (int)(count ? count : 1), 0);
	if (!count && symbol)
		frames[count++] = (struct lbpf_frame){ .name = symbol->name };
	for (size_t i = 0; i < count; i++) {
		bool outermost = i == count - 1;

		push_frame(L, file, &frames[i], outermost && symbol ? symbol->name : frames[i].name);
		if (outermost)
			lua_pushinteger(L, (lua_Integer)(address - (symbol ? symbol->from : from)));
		else
			lua_pushboolean(L, 1);
		lua_setfield(L, -2, outermost ? "offset" : "inlined");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

__attribute__((visibility("default"))) int luaopen_bpf_dwfl(lua_State *L);

int luaopen_bpf_dwfl(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "build_id", file_build_id }, { "debug", file_debug }, { "debuglink", file_debuglink },
		{ "frames", file_frames },     { NULL, NULL },
	};

	luaL_checkversion(L);
	luaL_newmetatable(L, CLASS);
	lua_pushcfunction(L, file_gc);
	lua_setfield(L, -2, "__gc");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, l_open);
	lua_setfield(L, -2, "open");
	return 1;
}
