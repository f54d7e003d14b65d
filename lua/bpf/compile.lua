-- SPDX-License-Identifier: MIT
--- BPF C to objects, through the installed clang.
-- @module bpf

local cache = require("bpf.compile.cache")
local clang = require("bpf.compile.clang")
local files = require("bpf.compile.files")
local place = require("bpf.compile.place")
local posix = require("bpf.base.posix")
local read_options = require("bpf.compile.options")
local temporary = require("bpf.compile.temporary")
local vmlinux = require("bpf.compile.vmlinux")

local M = {}

-- The text for clang, which says where it is from.
local function with_place(source, name, line)
  return ('#line %d "%s"\n%s\n'):format(line or 1, name:gsub('[\\"]', "\\%0"):gsub("[\0-\31\127]", "?"), source)
end

-- Runs clang in a directory of its own, and keeps the object at the path, or nowhere.
local function make(job, path)
  local directory <close> = temporary.new()
  local ok, message, code = temporary.make(directory)
  job.dir = ok
  if ok then
    ok, message, code = files.write(job.dir .. "/source.c", job.text)
  end
  if not ok then
    return nil, message, code
  end
  if vmlinux.is_wanted(job.text) then
    job.vmlinux, message, code = vmlinux.directory(job.folder, job.dir)
    if not job.vmlinux then
      return nil, "bpf.compile: vmlinux.h: " .. message, code
    end
  end
  local began = posix.file_clock()
  local bytes, messages
  bytes, message, code, messages = clang.compile(job, path ~= nil)
  if not bytes then
    return nil, message, code, messages
  end
  if path then
    cache.store(path, job, began, bytes, message)
  end
  return bytes, message
end

--- Compiles BPF C with the installed clang and `-mcpu=v3 -g -O2`, and returns the object's bytes. The call starts clang
-- and waits for it, unless the object was kept from an earlier call.
--
-- - Messages name the script and its lines, if the C text stands as it is in a script that called; otherwise they name
--   the lines of the text.
-- - "vmlinux.h": if the source includes it, it is made of the running kernel's BTF.
-- - Objects and vmlinux.h are kept in `$XDG_CACHE_HOME/lua-bpf`, by default `~/.cache/lua-bpf`: up to 256 MB, without
--   what was used least recently. A kept object is returned only if nothing has changed that clang would see: text,
--   options, the compiler, the kernel, all headers, and where clang found them.
-- - Nothing is kept if `$XDG_CACHE_HOME` or `~` doesn't exist, or if others than root and this user can write in one of
--   the folders on the way to it. Nothing is kept either of texts that mention `__DATE__` or `__TIME__`, and for
--   `cflags` that make clang read or write further files, such as `-fplugin`.
--
-- Files in quotes are also looked for in the directory of the script, or of the file.
-- @tparam string|table source C text; or the options, with `file`
-- @tparam ?table options
-- - file: the path of a C file, where the options take the place of C text
-- - include: a directory, or a sequence of directories, in which to look for headers
-- - defines: macros, `{ NAME = value, OTHER = true }`, or a sequence of `"NAME=value"`
-- - cflags: a sequence of further arguments of clang; they come after ours, so `"-mcpu=v2"` replaces `-mcpu=v3`
-- - target: the architecture of the kernel, `"x86"`, `"arm64"`, …, which sets `__TARGET_ARCH_x86`; by default
--   this machine's
-- - name: what messages call text that stands in no script, by default `"bpf.compile"`
-- - cache: false compiles anew and keeps nothing, as the environment variable `LUA_BPF_NO_CACHE` does if it isn't empty
-- @treturn string the object's bytes
-- @treturn ?string clang's warnings
-- @treturn nil,string,string,string on failure: the first error, its code, and everything that clang wrote; EINVAL (the
--  text has errors), ENOENT (no clang, or no such file), ENOSPC, ENOMEM, EMFILE, EIO (clang was killed), …
-- @usage
-- local bytes = assert(bpf.compile [[
--   #include <linux/bpf.h>
--   #include <bpf/bpf_helpers.h>
--   SEC("xdp") int pass(void *ctx) { return XDP_PASS; }
-- ]])
-- local obj <close> = assert(bpf.load { bytes = bytes })
-- @since clang 10
function M.compile(source, options)
  options = read_options(source, options, 2)
  local name, line, beside
  if options.file then
    local message, number
    source, message, number = files.read(options.file)
    if not source then
      return files.failure(message, number)
    end
    name, line, beside = options.file, 1, options.file:match("^(.*)/") or "."
  else
    name, line, beside = place(source, 3)
  end
  local program = posix.executable("clang")
  if not program then
    return nil, "bpf.compile: clang is not installed; Debian and Ubuntu have it in the package clang (ENOENT)",
      "ENOENT"
  end
  local job = { program = program, words = clang.words(options, beside), folder = cache.folder(options.cache),
    text = with_place(source, name or options.name or "bpf.compile", line) }
  local path = cache.path(job, options.cflags)
  local entry = path and cache.find(path)
  if entry then
    return entry.result[1], entry.result[2]
  end
  return make(job, path)
end

return M.compile
