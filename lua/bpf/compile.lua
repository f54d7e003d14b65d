-- SPDX-License-Identifier: MIT
--- BPF C to objects, through the installed clang.
-- @module bpf

local core = require("bpf.core")
local error = require("bpf.base.argument").error
local number_text = require("bpf.base.number").text
local posix = require("bpf.base.posix")

local M = {}

-- Text and arguments --------------------------------------------------------------------------------------------------

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Raises unless the text can be an argument of a command.
local function check_word(what, text, level)
  if type(text) ~= "string" then
    error(("bpf.compile: %s must be a string, got %s"):format(what, type(text)), level + 1)
  elseif text:find("\0", 1, true) then
    error(("bpf.compile: %s holds a NUL"):format(what), level + 1)
  end
  return text
end

-- A sequence of strings out of one string or a sequence of them.
local function words(what, value, level)
  local list = {}
  if type(value) == "table" then
    for i = 1, #value do
      list[i] = check_word(what .. "[" .. i .. "]", value[i], level + 1)
    end
  elseif value ~= nil then
    list[1] = check_word(what, value, level + 1)
  end
  return list
end

-- "-DNAME=value" out of { NAME = value, "NAME", "NAME=value" }, in an order that is always the same.
local function definitions(value, level)
  local list = {}
  if type(value) ~= "table" then
    value = { value }
  end
  for name, as in pairs(value) do
    if math.type(name) == "integer" then
      list[#list + 1] = "-D" .. check_word("defines[" .. name .. "]", as, level + 1)
    elseif as == true then
      list[#list + 1] = "-D" .. check_word("a name in defines", name, level + 1)
    elseif as ~= false then
      as = math.type(as) and number_text(as) or as
      list[#list + 1] = ("-D%s=%s"):format(check_word("a name in defines", name, level + 1),
        check_word("defines." .. name, as, level + 1))
    end
  end
  table.sort(list)
  return list
end

-- What libbpf's bpf_tracing.h calls an architecture, by that name and by uname's.
local ARCHES = {
  x86_64 = "x86", i386 = "x86", i686 = "x86", x86 = "x86", aarch64 = "arm64", arm64 = "arm64", armv7l = "arm",
  arm = "arm", s390x = "s390", s390 = "s390", ppc64 = "powerpc", ppc64le = "powerpc", powerpc = "powerpc",
  riscv64 = "riscv", riscv = "riscv", mips = "mips", mips64 = "mips", sparc64 = "sparc", sparc = "sparc",
  loongarch64 = "loongarch", loongarch = "loongarch", arc = "arc",
}

local OPTIONS = { cflags = true, defines = true, include = true, name = true, target = true }

-- Checks the options, and returns them in the form that the rest wants.
local function read_options(options, level)
  if options == nil then
    options = {}
  elseif type(options) ~= "table" then
    error(("bad argument #2 to 'compile' (table expected, got %s)"):format(type(options)), level + 1)
  end
  for name in pairs(options) do
    if not OPTIONS[name] then
      error(("bpf.compile: there is no option '%s' (options: cflags, defines, include, name, target)")
        :format(tostring(name)), level + 1)
    end
  end
  local target = options.target
  if target ~= nil and not ARCHES[check_word("option 'target'", target, level + 1)] then
    local names, seen = {}, {}
    for _, name in pairs(ARCHES) do
      names[#names + 1] = not seen[name] and name or nil
      seen[name] = true
    end
    table.sort(names)
    error(("bpf.compile: target '%s' is unknown (one of: %s)"):format(target, table.concat(names, ", ")), level + 1)
  end
  return {
    name = options.name ~= nil and check_word("option 'name'", options.name, level + 1) or nil,
    target = ARCHES[target],
    include = words("include", options.include, level + 1),
    cflags = words("cflags", options.cflags, level + 1),
    defines = definitions(options.defines, level + 1),
  }
end

-- Where the source stands in a script ---------------------------------------------------------------------------------

-- The contents; or nil, a message and an errno.
local function read_file(path)
  local file <close>, message, number = io.open(path, "rb")
  if not file then
    return nil, message, number
  end
  return file:read("a")
end

local function line_of(text, at)
  return 1 + select(2, text:sub(1, at - 1):gsub("\n", ""))
end

-- The line of a script's text where the source begins, or nil; if it is there more than once, the last one up to the
-- line that runs. Literals with escapes or put together of several differ from what they mean: then two lines one after
-- the other tell, the first such that are found.
local function find_source(script, source, current)
  script = script:gsub("\r\n?", "\n") -- as Lua reads line ends in a long string
  local at, line = source:find("%S") and script:find(source, 1, true), nil
  while at do
    local here = line_of(script, at)
    if line and here > current then
      break
    end
    line, at = here, script:find(source, at + 1, true)
  end
  if line then
    return line
  end
  local before, number = "", 0
  for text in (source:sub(1, 4096) .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    at = before:find("%S") and text:find("%S") and script:find(before .. "\n" .. text, 1, true)
    if at then
      return line_of(script, at) - (number - 2)
    end
    before = text
  end
  return nil
end

-- The file name and line to give to clang for the source, and the directory of the script that has it.
local function place(source, level)
  local seen = {}
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then
      return nil
    end
    level = level + 1
    local chunk = info.source
    if info.what ~= "C" and not seen[chunk] then
      seen[chunk] = true
      local path = chunk:match("^@(.*)$")
      local script = path and read_file(path) or not path and chunk
      local line = script and find_source(script, source, info.currentline)
      if line and line > 0 then
        return path or info.short_src, line, path and (path:match("^(.*)/") or ".")
      end
    end
  end
end

-- Files ---------------------------------------------------------------------------------------------------------------

local function failure(message, number)
  return posix.failure("bpf.compile", message, number)
end

-- Runs a shell command with nothing to read. Returns what it printed; or nil, message, code.
local function output(command)
  local pipe <close>, message, number = io.popen("exec 2>/dev/null </dev/null; " .. command)
  local text
  if pipe then
    text, message, number = pipe:read("a")
  end
  if not text then
    return failure("start a shell: " .. message:match("[^:]*$"):gsub("^ ", ""), number)
  end
  return text
end

-- nil, message, code of a shell that said nothing: it had no /dev/null, or no descriptors, as it inherits many of ours.
local function no_shell()
  local file <close>, message, number = io.open("/dev/null")
  return failure(file and "too few descriptors are free for a shell: Too many open files" or message, number or 24)
end

-- Writes a file of ours. Returns nil, message, code where that fails.
local function write_file(path, ...)
  local file <close>, message, number = io.open(path, "wb")
  local ok = file
  for _, part in ipairs { ... } do
    if ok then
      ok, message, number = file:write(part)
    end
  end
  if ok then
    ok, message, number = file:close()
  end
  if not ok then
    return failure(message:find(path, 1, true) and message or path .. ": " .. message, number)
  end
  return true
end

-- A directory of its own that is removed when it is closed, by the process that made it: not by one forked from that.
-- The process holds a lock on the file "lock" within. One that is killed leaves the directory and no lock.
local Directory = {}

function Directory.__close(dir)
  if dir.lock then
    dir.lock:close()
  end
  if dir.path and posix.pid() == dir.process then
    os.execute("exec </dev/null >/dev/null 2>&1; rm -rf -- " .. quote(dir.path))
  end
end

-- Makes the directory. Returns nil, message, code where that fails.
local function make(dir)
  local message, code, number
  dir.process = posix.pid()
  dir.path, message, code = posix.make_directory(dir.base .. "/lua-bpf.XXXXXX")
  if not dir.path and (code == "ENOENT" or code == "EACCES") then
    return nil, "bpf.compile: there is no place for temporary files (EACCES)", "EACCES"
  elseif not dir.path then
    return nil, "bpf.compile: there is no place for temporary files: " .. message, code
  end
  dir.lock, message, number = io.open(dir.path .. "/lock", "wb")
  if not dir.lock then
    return failure(message, number)
  end
  posix.lock(dir.lock)
  dir.lock:setvbuf("no")
  dir.lock:write("locked") -- whoever finds it empty leaves it alone
  return true
end

-- Removes the directories that killed processes of this user have left.
local function clean(leftovers)
  for path in leftovers:gmatch("[^\n]+") do
    local lock <close> = io.open(path .. "/lock", "r+b")
    if lock and posix.lock(lock) then
      os.execute("exec </dev/null >/dev/null 2>&1; rm -rf -- " .. quote(path))
    end
  end
end

-- What the machine has: clang, or "", and its architecture. Returns nil, message, code where it can't be asked.
local function look(base)
  local answer, message, code = output(([[command -v clang || echo
    uname -m || echo
    for dir in %s/lua-bpf.??????; do
      [ -O "$dir/lock" ] && [ -s "$dir/lock" ] && [ ! -L "$dir" ] && echo "$dir"
    done]]):format(quote(base)))
  if not answer then
    return nil, message, code
  end
  local clang, machine, leftovers = answer:match("^([^\n]*)\n([^\n]*)\n(.*)$")
  if not clang then
    return no_shell()
  end
  clean(leftovers)
  return clang, machine
end

-- vmlinux.h -----------------------------------------------------------------------------------------------------------

-- Where the kernel's header is kept, by what makes it what it is; nil if the environment doesn't say. Besides, the
-- directory of the user's in which that is: if there is none, we don't make it.
local function cache_directory(hash)
  local base, folder = os.getenv("XDG_CACHE_HOME") or "", ""
  if base:sub(1, 1) ~= "/" then -- the specification wants others ignored
    base, folder = os.getenv("HOME") or "", "/.cache"
    if base:sub(1, 1) ~= "/" then
      return nil
    end
  end
  return ("%s%s/lua-bpf/vmlinux-%s-%s-%s"):format(base, folder, hash, core._VERSION, core.libbpf_version), base
end

-- What btf:dump begins and ends with.
local HEAD <const>, TAIL <const> = "#ifndef __VMLINUX_H__\n", "\n#endif /* __VMLINUX_H__ */\n"

-- Whether a header is all there: a full disk or a crash may have cut what btf:dump wrote, or left zeros.
local function is_whole(path)
  local text = read_file(path)
  if not text or text:find("\0", 1, true) or HEAD:sub(1, #text) == text then
    return false
  end
  return text:sub(1, #HEAD) ~= HEAD or text:sub(-#TAIL) == TAIL
end

-- The directory that has vmlinux.h of the running kernel: the cache, or the temporary one.
local function vmlinux(temporary)
  local btf <close>, message, code = core.btf.kernel()
  if not btf then
    return nil, message, code
  end
  local cache, base = cache_directory((btf:hash()))
  if cache then
    if is_whole(cache .. "/vmlinux.h") then
      return cache
    end
    os.execute(("exec </dev/null >/dev/null 2>&1; umask 077; [ -d %s ] && mkdir -p %s"):format(quote(base),
      quote(cache)))
    if btf:dump(cache .. "/vmlinux.h") then
      return cache
    end
  end
  local done
  done, message, code = btf:dump(temporary .. "/vmlinux.h")
  return done and temporary, message, code
end

-- Compiling -----------------------------------------------------------------------------------------------------------

-- What clang is to do, as a shell command.
local function command(clang, machine, dir, options, includes, beside)
  local list = {
    quote(clang), "-target", "bpf", "-mcpu=v3", "-g", "-O2", "-fno-color-diagnostics",
    "-fms-extensions", "-Wno-microsoft-anon-tag", -- members without a name, of a struct with one: kernels from 6.19 on
    "-D__TARGET_ARCH_" .. (options.target or ARCHES[machine] or machine),
  }
  for _, part in ipairs { options.defines, options.cflags } do
    for _, word in ipairs(part) do
      list[#list + 1] = quote(word)
    end
  end
  if beside then
    list[#list + 1] = "-iquote " .. quote(beside)
  end
  for _, path in ipairs(options.include) do
    list[#list + 1] = "-I " .. quote(path)
  end
  for _, path in ipairs(includes) do
    list[#list + 1] = "-I " .. quote(path)
  end
  -- Debian's <asm/types.h>, which clang looks for in vain when it compiles for bpf.
  list[#list + 1] = "-idirafter " .. quote("/usr/include/" .. machine .. "-linux-gnu")
  list[#list + 1] = ("-x c -c %s -o %s"):format(quote(dir .. "/source.c"), quote(dir .. "/object.o"))
  return ("exec </dev/null >%s 2>&1; LC_ALL=C TMPDIR=%s; export LC_ALL TMPDIR; %s"):format(
    quote(dir .. "/messages"), quote(dir), table.concat(list, " "))
end

-- The packages of what is often missing.
local function hint(messages)
  if messages:find("'bpf/[%w_.]+' file not found") then
    return "; the package libbpf-dev has it"
  elseif messages:find("'asm/[%w_.]+' file not found") or messages:find("'linux/[%w_.]+' file not found") then
    return "; the package linux-libc-dev has it"
  end
  return ""
end

-- What clang, the loader and the shell say when it isn't the text that fails, besides the system's own words, which are
-- in quotes or at a line's end.
local COMPLAINTS = {
  { "[Oo]ut of memory", "ENOMEM" }, { "bad_alloc", "ENOMEM" }, { "failed to map segment", "ENOMEM" },
  { "unable to execute command: (.*)", "EIO" }, { "frontend command failed", "EIO" },
}

-- The code of a line that clang, or what runs it, has said; nil where the text itself is to blame.
local function code_of(line)
  if line:find(":%d+:%d+: [%l ]*error: ") and not line:find("error: cannot open file") then
    return nil
  end
  local said = line:match("([^:]*)$"):gsub("^[ ']+", ""):gsub("[ '.]+$", "")
  local code = posix.code(said)
  for _, complaint in ipairs(code and {} or COMPLAINTS) do
    code = code or line:find(complaint[1]) and complaint[2] or nil
  end
  return code ~= "ENOENT" and code or nil
end

-- nil, message, code, messages of a clang that failed, by what os.execute returned and clang said.
local function explain(dir, how, status, messages)
  if how ~= "exit" and how ~= "signal" then
    return failure(how, status) -- no process could be started
  end
  local first = messages:match("[^\n]*error: [^\n]*") or messages:match("[^\n]+")
  local code = first and code_of(first)
  if code then
    return nil, ("bpf.compile: %s (%s)"):format(first, code), code, messages
  elseif first and first:find("error: ", 1, true) then
    return nil, ("bpf.compile: %s%s (EINVAL)"):format(first, hint(messages)), "EINVAL", messages
  end
  local ok, message
  ok, message, code = write_file(dir .. "/room", ("x"):rep(1 << 16)) -- for what it may have wanted to say
  if ok and not read_file(dir .. "/messages") then
    ok, message, code = no_shell()
  end
  if not ok then
    return nil, message, code, messages
  end
  local signal = how == "signal" and status or status > 128 and status - 128
  if signal then
    first = ("clang was killed by signal %d%s"):format(signal,
      signal == 9 and ", as the kernel does for want of memory" or "")
  else
    first = ("%s (exit status %d)"):format(first or "clang failed and said nothing", status)
  end
  return nil, ("bpf.compile: %s (EIO)"):format(first), "EIO", messages
end

-- Runs clang. Returns what bpf.compile returns.
local function run(shell, dir)
  local ok, how, status = os.execute(shell)
  if how == "signal" and status == 2 or status == 130 then
    error("interrupted!", 0) -- as Lua says itself when it isn't waiting for a command
  end
  local messages = read_file(dir .. "/messages") or ""
  if not ok then
    return explain(dir, how, status, messages)
  end
  local bytes, message, number = read_file(dir .. "/object.o")
  if not bytes then
    return failure(message, number)
  end
  return bytes, messages ~= "" and messages or nil
end

--- Compiles BPF C with the installed clang and `-mcpu=v3 -g -O2`, and returns the object's bytes. The call starts clang
-- and waits for it.
--
-- - Messages name the script and its lines, if the C text stands as it is in a script that called; otherwise they name
--   the lines of the text.
-- - "vmlinux.h": if the source includes it, it is made of the running kernel's BTF and kept in
--   `$XDG_CACHE_HOME/lua-bpf`, by default `~/.cache/lua-bpf`. It is made each time if that directory can't be written,
--   or if `$XDG_CACHE_HOME` or `~` doesn't exist.
--
-- Files in quotes are also looked for in the directory of the script.
-- @tparam string source C text
-- @tparam ?table options
-- - include: a directory, or a sequence of directories, in which to look for headers
-- - defines: macros, `{ NAME = value, OTHER = true }`, or a sequence of `"NAME=value"`
-- - cflags: a sequence of further arguments of clang; they come after ours, so `"-mcpu=v2"` replaces `-mcpu=v3`
-- - target: the architecture of the kernel, `"x86"`, `"arm64"`, …, which sets `__TARGET_ARCH_x86`; by default
--   this machine's
-- - name: what messages call text that stands in no script, by default `"bpf.compile"`
-- @treturn string the object's bytes
-- @treturn ?string clang's warnings
-- @treturn nil,string,string,string on failure: the first error, its code, and everything that clang wrote; EINVAL (the
--  text has errors), ENOENT (no clang), ENOSPC, ENOMEM, EMFILE, EIO (clang was killed), …
-- @usage
-- local bytes = assert(bpf.compile [[
--   #include <linux/bpf.h>
--   #include <bpf/bpf_helpers.h>
--   SEC("xdp") int pass(void *ctx) { return XDP_PASS; }
-- ]])
-- local obj <close> = assert(bpf.load { bytes = bytes })
-- @since clang 10
function M.compile(source, options)
  if type(source) ~= "string" then
    error(("bad argument #1 to 'compile' (string expected, got %s)"):format(type(source)), 2)
  end
  options = read_options(options, 2)
  local file, line, beside = place(source, 3)
  local name = file or options.name or "bpf.compile"
  local base = os.getenv("TMPDIR") or ""
  local temporary <close> = setmetatable({ base = base ~= "" and base or "/tmp" }, Directory)
  local clang, machine, code = look(temporary.base)
  if not clang then
    return nil, machine, code
  elseif clang == "" then
    return nil, "bpf.compile: clang is not installed; Debian and Ubuntu have it in the package clang (ENOENT)",
      "ENOENT"
  end
  local ok, message
  ok, message, code = make(temporary)
  local dir = temporary.path
  if ok then
    ok, message, code = write_file(dir .. "/source.c",
      ('#line %d "%s"\n'):format(line or 1, name:gsub('[\\"]', "\\%0"):gsub("[\0-\31\127]", "?")), source, "\n")
  end
  if not ok then
    return nil, message, code
  end
  local includes = {}
  if ("\n" .. source):find('\n[ \t]*#[ \t]*include[ \t]*["<]vmlinux%.h[">]') then
    includes[1], message, code = vmlinux(dir)
    if not includes[1] then
      return nil, "bpf.compile: vmlinux.h: " .. message, code
    end
  end
  return run(command(clang, machine, dir, options, includes, beside), dir)
end

return M.compile
